"""Which cores this process may use."""

from __future__ import annotations

import os


def usable_cores() -> frozenset[int]:
    """The numbers of the cores that are not taken from this process, by a container for example."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))
