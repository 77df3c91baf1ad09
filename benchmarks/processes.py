"""CPU time and memory of the processes that are measured."""

from __future__ import annotations

import os
from collections.abc import Mapping

import psutil  # type: ignore[import-untyped]


def cpu_seconds(processes: Mapping[str, int]) -> dict[str, float]:
    """User and system time of each process since its start, in steps of 10 ms."""
    found = {}
    for role, pid in processes.items():
        times = psutil.Process(pid).cpu_times()
        found[role] = times.user + times.system
    return found


def resident_bytes(processes: Mapping[str, int]) -> dict[str, int]:
    """Resident memory of each process."""
    return {role: psutil.Process(pid).memory_info().rss for role, pid in processes.items()}


def busy_seconds() -> float:
    """CPU time of the whole machine that was not idle, all cores added."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))
