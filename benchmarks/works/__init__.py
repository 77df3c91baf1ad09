"""What is measured: one module for each work, each with its goals."""

from benchmarks.works.catalogue import WORKS
from benchmarks.works.work import Context, Finding, Variant, Work

__all__ = ["WORKS", "Context", "Finding", "Variant", "Work"]
