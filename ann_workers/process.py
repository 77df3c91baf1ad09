"""What a worker's process needs around the worker itself, whichever program it is."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from ann_workers.backends.onnx.settings import OnnxSettings
from ann_workers.backends.triton.settings import TritonSettings
from ann_workers.settings import WorkerSettings
from foundation.busy_poll import BusyPollSettings
from foundation.settings import (
    BrokerSettings,
    RedisSettings,
    Settings,
    SettingsGroup,
    TelemetrySettings,
)
from foundation.telemetry.readiness import ReadinessSettings

if TYPE_CHECKING:
    from ann_workers.front import Front

GROUPS: Final[tuple[type[SettingsGroup], ...]] = (
    WorkerSettings,
    OnnxSettings,
    TritonSettings,
    BrokerSettings,
    RedisSettings,
    BusyPollSettings,
    TelemetrySettings,
    ReadinessSettings,
)


def compute_on_one_core() -> None:
    """Call it before numpy is imported.

    Replicas share a machine: one worker computes on one core, and more workers use more cores.
    """
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")


def run_worker(program: str, settings: Settings, front: Front | None = None) -> None:
    """Serve until SIGTERM, exit 0 after the drain."""
    from ann_workers.service import Worker
    from ann_workers.watch import watched
    from foundation.process import run
    from foundation.telemetry import configure_logging

    own, telemetry = settings[WorkerSettings], settings[TelemetrySettings]
    configure_logging(
        service="ann_worker",
        name=own.worker_name,
        log_format=telemetry.log_format,
        level=telemetry.log_level,
    )

    async def serve(stop: asyncio.Event) -> None:
        async with watched(own.worker_compute_timeout_s):
            await Worker(settings, front=front).serve(stop)

    run(program, serve)
