"""What the generator counts: answers by second, and how long each took."""

from __future__ import annotations

import time
from array import array

MAX_SAMPLES = 4_000_000
"""32 MB of latencies; later answers are counted, not timed."""
BUCKETS_PER_OCTAVE = 8


class Meter:
    """Counts while `running`; before and after, answers only keep the load going."""

    def __init__(self) -> None:
        self.running = False
        self.stopped = False
        self.answers = 0
        self.latencies = array("d")
        self.per_second: list[int] = []
        self._started_at = 0.0
        self._cpu = 0.0

    def start(self) -> None:
        """The measured window begins."""
        self._started_at = time.perf_counter()
        self._cpu = time.process_time()
        self.running = True

    def stop(self) -> tuple[float, float]:
        """The window ends; returns its length and this process's CPU time in it, in s."""
        self.running = False
        self.stopped = True
        return time.perf_counter() - self._started_at, time.process_time() - self._cpu

    def count(self, answers: int, now: float) -> None:
        """Answers came."""
        self.answers += answers
        second = int(now - self._started_at)
        counts = self.per_second
        while len(counts) <= second:
            counts.append(0)
        counts[second] += answers

    def took(self, seconds: float) -> None:
        """One answer took so long."""
        if len(self.latencies) < MAX_SAMPLES:
            self.latencies.append(seconds)


def percentiles_ms(latencies: array[float], wanted: tuple[float, ...]) -> dict[str, float]:
    """The wanted percentiles in milliseconds, as `p50`, `p99.9`; empty when there is none."""
    if not latencies:
        return {}
    ordered = sorted(latencies)
    last = len(ordered) - 1
    return {f"p{p:g}": ordered[min(last, int(len(ordered) * p / 100))] * 1e3 for p in wanted}


def histogram_us(latencies: array[float]) -> list[tuple[float, int]]:
    """How many answers took at most so many µs, in buckets of an eighth of an octave."""
    from math import ceil, log2

    counts: dict[int, int] = {}
    for seconds in latencies:
        bucket = ceil(log2(max(seconds, 1e-6) * 1e6) * BUCKETS_PER_OCTAVE)
        counts[bucket] = counts.get(bucket, 0) + 1
    return [(round(2 ** (b / BUCKETS_PER_OCTAVE), 2), counts[b]) for b in sorted(counts)]
