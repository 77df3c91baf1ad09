"""Takeover: from the kill -9 of a worker to the next output of each session that it held.

All sessions are on the worker that is killed; one other lives. A session's pause is its longest
gap between outputs from the kill on, until it has answered inputs that were sent after the kill.
"""

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
    pauses: list[float] = []
    async with (
        stages.raised(directory, workers=1, gateways=1) as stage,
        streaming(stage, given.sessions, rate=given.rate) as streams,
    ):
        await stage.client.scale(POOL, 2)
        await until(lambda: len(stage.processes(Role.WORKER)) == 2, timeout_s=30)
        for _ in range(given.rounds):
            await stage.ready()
            await progressed(streams)
            victim = await owner_of_all(stage, given.sessions)
            pid = victim.pid
            for stream in streams:
                stream.watch_gaps()
            stage.signal(victim, signal.SIGKILL)
            await progressed(streams)
            pauses += [stream.gap_s for stream in streams]
            await stage.replaced(victim, pid)
    return {"kill to next output": milliseconds(pauses)}


if __name__ == "__main__":
    command("takeover", __doc__, measure, sessions=32, rate=50.0, rounds=20)
