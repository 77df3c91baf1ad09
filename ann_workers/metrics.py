"""The worker's metrics. Counters are plain integers on the frame path, read when scraped."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ann_workers.hosting.host import Host
from foundation.telemetry.buckets import Buckets

_SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


class WorkerMetrics(Collector):
    """Reads a host's counters; observes batches."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._batch_size = Buckets(
            "dc_worker_batch_inputs",
            "Inputs computed in one batch",
            (1, 2, 4, 8, 16, 32, 64, 128, 256),
        )
        self._queue = Buckets(
            "dc_worker_queue_seconds",
            "Longest wait in a batch, from arrival to the start of the computation",
            _SECONDS,
        )
        self._compute = Buckets("dc_worker_compute_seconds", "One batch's computation", _SECONDS)
        self.host: Host | None = None
        registry.register(self)

    def observe(self, size: int, waited_s: float, computed_s: float) -> None:
        """A batch was computed."""
        self._batch_size.observe(size)
        self._queue.observe(waited_s)
        self._compute.observe(computed_s)

    def collect(self) -> Iterator[Metric]:
        """Read the counters."""
        host = self.host
        if host is None:
            return
        yield from (part.family() for part in (self._batch_size, self._queue, self._compute))
        sessions = tuple(host.sessions.values())
        gauges = {
            "sessions": ("Sessions held", len(sessions)),
            "sessions_attached": ("Of them, attached", sum(s.attached for s in sessions)),
            "detached_bytes": ("Kept for sessions that are not, about", host.parking.bytes),
            "inputs_waiting": (
                "Inputs that wait for their turn",
                sum(len(s.queue) for s in sessions),
            ),
            "remote_inputs": (
                "Inputs under way at servers that compute for this worker",
                host.remote.under_way,
            ),
            "awake": ("Stays awake for the next frame just now", int(host.poll.turning)),
            "outputs_unacknowledged": (
                "Outputs that wait for their acknowledgement",
                sum(s.machine.outputs_kept for s in sessions),
            ),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"dc_worker_{name}", text, value=value)
        for name, (text, value) in self._counters(host).items():
            yield CounterMetricFamily(f"dc_worker_{name}", text, value=value)

    @staticmethod
    def _counters(host: Host) -> dict[str, tuple[str, int]]:
        links, checkpoints = host.links.counters, host.checkpoints.stats
        return {
            "inputs": ("Inputs that came", host.inbox.inputs),
            "outputs": ("Outputs that left", host.outbox.outputs),
            "failed_inputs": ("Inputs answered with an error", host.engine.stats.failed),
            "threaded_batches": ("Batches computed in the thread", host.engine.stats.threaded),
            "stale_envelopes": (
                "Items of an old epoch or attachment, dropped",
                host.inbox.stale_envelopes,
            ),
            "fenced_sessions": ("Sessions lost to a newer owner", host.stats.fenced),
            "takeovers": ("Sessions taken over from a checkpoint", host.taking.stats.takeovers),
            "new_sessions": ("Sessions that began here", host.taking.stats.new),
            "lost_ranges": ("Attaches answered with LOST", host.taking.stats.lost),
            "moved_sessions": ("Sessions handed over", host.stats.moved),
            "parked_sessions": (
                "Sessions let go while their clients are away",
                host.parking.parked,
            ),
            "checkpoints": ("Checkpoints written", checkpoints.written),
            "checkpoint_bytes": ("Bytes of them", checkpoints.bytes),
            "checkpoint_failures": ("Checkpoints that could not be written", checkpoints.failed),
            "envelopes_in": ("Envelopes that came", links.envelopes_in),
            "envelopes_out": ("Envelopes that left", links.envelopes_out),
            "link_gaps": ("Gaps in the numbers of links", links.gaps),
        }
