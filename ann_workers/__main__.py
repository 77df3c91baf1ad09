"""`python -m ann_workers`: one worker process."""

from __future__ import annotations

import asyncio
import os
import sys

# Replicas share a machine: one worker computes on one core, and more workers use more cores.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")


def main() -> None:
    """Read the settings, serve until SIGTERM, exit 0 after the drain."""
    try:
        from ann_workers.service import Worker
    except ModuleNotFoundError as error:
        sys.exit(f"ann_workers: {error.name} is missing: pip install 'direct-contact[worker]'")
    from ann_workers.backends.onnx.settings import OnnxSettings
    from ann_workers.settings import WorkerSettings
    from ann_workers.watch import watched
    from foundation.process import run
    from foundation.settings import BrokerSettings, RedisSettings, TelemetrySettings, load
    from foundation.telemetry import configure_logging
    from foundation.telemetry.readiness import ReadinessSettings

    settings = load(
        (
            WorkerSettings,
            OnnxSettings,
            BrokerSettings,
            RedisSettings,
            TelemetrySettings,
            ReadinessSettings,
        ),
        program="python -m ann_workers",
        purpose="An ANN worker: owns sessions, batches across them, computes, writes checkpoints.",
    )
    telemetry = settings[TelemetrySettings]
    configure_logging(
        service="ann_worker",
        name=settings[WorkerSettings].worker_name,
        log_format=telemetry.log_format,
        level=telemetry.log_level,
    )

    async def serve(stop: asyncio.Event) -> None:
        async with watched(settings[WorkerSettings].worker_compute_timeout_s):
            await Worker(settings).serve(stop)

    run("ann_workers", serve)


if __name__ == "__main__":
    main()
