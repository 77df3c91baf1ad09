"""Every work, in the order of the table."""

from __future__ import annotations

from benchmarks.works.frames import BATCHED, LARGE, THROUGHPUT, UNARY

WORKS = (THROUGHPUT, UNARY, LARGE, BATCHED)
