"""The cheap histogram."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from foundation.telemetry.buckets import Buckets


class One(Collector):
    def __init__(self, buckets: Buckets) -> None:
        self.buckets = buckets

    def collect(self) -> Iterator[Metric]:
        yield self.buckets.family()


def test_buckets_count_up_to_and_including_their_bound() -> None:
    buckets = Buckets("waits", "Waits", (1, 10))
    for value in (0.5, 1, 2, 100):
        buckets.observe(value)
    registry = CollectorRegistry()
    registry.register(One(buckets))
    counts = [
        registry.get_sample_value("waits_bucket", {"le": le}) for le in ("1.0", "10.0", "+Inf")
    ]
    assert counts == [2, 3, 4]
    assert registry.get_sample_value("waits_count") == 4
    assert registry.get_sample_value("waits_sum") == 103.5
