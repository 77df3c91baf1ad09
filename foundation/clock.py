"""Time as a value that is passed in, so that tests can own it."""

from __future__ import annotations

import time
from collections.abc import Callable

Monotonic = Callable[[], float]
"""Seconds of a clock that never goes back. Deadlines and leases use only this one."""

monotonic: Monotonic = time.monotonic


def unix_ms() -> int:
    """Milliseconds since 1970, for people and records; never for deadlines."""
    return time.time_ns() // 1_000_000
