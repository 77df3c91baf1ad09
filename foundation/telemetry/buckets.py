"""A histogram that costs two additions and a bisection, for paths that run for every batch.

The client library's own takes a lock for each observation; here one thread observes and the scrape
reads what is there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily


class Buckets:
    """Counts observations by upper bound.

    Args:
        name: the metric's.
        text: what it tells.
        bounds: ascending, the infinite one left out.
    """

    __slots__ = ("_bounds", "_counts", "_name", "_sum", "_text")

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._text = text
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def family(self) -> HistogramMetricFamily:
        """What was counted, for a scrape."""
        labels = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        totals = accumulate(tuple(self._counts))
        return HistogramMetricFamily(
            self._name,
            self._text,
            buckets=[(label, float(total)) for label, total in zip(labels, totals, strict=True)],
            sum_value=self._sum,
        )
