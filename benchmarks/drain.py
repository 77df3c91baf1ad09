"""Drain: SIGTERM to a worker that holds every session; how late its sessions' outputs are."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from benchmarks.pauses import Figures, command, milliseconds, owner_of_all, progressed, streaming
from launcher.supervisor import Role
from tests.chaos import stage as stages
from tests.chaos.stage import POOL
from tests.support.conditions import until


async def measure(given: argparse.Namespace, directory: Path) -> Figures:
    slowest: list[float] = []
    usual: list[float] = []
    async with (
        stages.raised(directory, workers=1, gateways=1) as stage,
        streaming(stage, given.sessions, rate=given.rate) as streams,
    ):
        await stage.client.scale(POOL, 2)
        await until(lambda: len(stage.processes(Role.WORKER)) == 2, timeout_s=30)
        for _ in range(given.rounds):
            await stage.ready()
            for stream in streams:
                stream.slowest_s = 0.0
            await progressed(streams)
            usual += [stream.slowest_s for stream in streams]
            worker = await owner_of_all(stage, given.sessions)
            pid = worker.pid
            for stream in streams:
                stream.slowest_s = 0.0
            stage.signal(worker, signal.SIGTERM)
            await stage.replaced(worker, pid)
            await progressed(streams)
            slowest += [stream.slowest_s for stream in streams]
        dropped = sum(stream.session.stats.reconnects for stream in streams)
    return {
        "latest output, while draining": {**milliseconds(slowest), "sockets lost": dropped},
        "latest output, otherwise": milliseconds(usual),
    }


if __name__ == "__main__":
    command("drain", __doc__, measure, sessions=200, rate=5.0, rounds=5)
