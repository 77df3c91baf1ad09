"""The gateway's metrics. Counters are plain integers on the frame path, read when scraped."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from direct_contact.gateway.hub import Hub


class GatewayMetrics(Collector):
    """Reads a hub's counters."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        """Read the counters."""
        hub = self._hub
        streams = tuple(hub.streams.values())
        stats, links = hub.stats, hub.links.counters
        gauges = {
            "streams": ("Open streams", len(streams)),
            "inputs_in_flight": (
                "Inputs whose answer did not leave yet",
                sum(s.machine.next_seq - s.machine.due.seq for s in streams),
            ),
            "retained_bytes": (
                "Bytes of inputs kept for a takeover",
                sum(s.machine.retained_bytes for s in streams),
            ),
            "workers": ("Workers that serve sessions of this gateway", hub.workers),
            "awake": ("Stays awake for the next frame just now", int(hub.poll.turning)),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"dc_gateway_{name}", text, value=value)
        counters = {
            "frames_in": ("Frames of clients", stats.frames_in),
            "frames_out": ("Frames to clients", stats.frames_out),
            "inputs": ("Inputs in them", stats.inputs),
            "streams_accepted": ("Streams accepted", stats.accepted),
            "streams_refused": ("Streams refused", stats.refused),
            "takeovers": ("Sessions whose worker was lost", stats.takeovers),
            "slow_readers": ("Streams closed because the client did not read", stats.slow_readers),
            "stale_envelopes": (
                "Items of an old epoch or attachment, dropped",
                stats.stale_envelopes,
            ),
            "envelopes_in": ("Envelopes that came", links.envelopes_in),
            "envelopes_out": ("Envelopes that left", links.envelopes_out),
            "link_gaps": ("Gaps in the numbers of links", links.gaps),
        }
        for name, (text, value) in counters.items():
            yield CounterMetricFamily(f"dc_gateway_{name}", text, value=value)
