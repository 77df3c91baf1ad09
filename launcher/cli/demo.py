"""`direct-contact demo`."""

from __future__ import annotations


def demo() -> None:
    """Later."""
