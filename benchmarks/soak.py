"""A soak: streams at a part of full speed, a kill every two seconds, and the memory of what lives.

Victims are every worker and gateway but the first of each kind, and the clients' links. What is
never killed (NATS, Redis, REST, one gateway, one worker, this client) must not grow.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
from collections import defaultdict
from pathlib import Path

import numpy as np
import psutil

from benchmarks.pauses import Figures, command, milliseconds, progressed, streaming
from launcher.supervisor import Role
from tests.chaos import stage as stages
from tests.chaos.stage import Stage

SETTLED_SHARE = 0.3
"""Of the time at the beginning, in which caches and buffers fill, no slope is taken."""
SAMPLE_S = 1.0
KILL_S = 2.0
FULL_SPEED_S = 5.0

Samples = dict[str, list[tuple[float, float]]]


def survivors(stage: Stage) -> dict[str, int]:
    """The pids of what is never killed, by label."""
    spared = {Role.WORKER: "ann-worker-1", Role.GATEWAY: "gateway-1"}
    found = {
        process.label: process.pid
        for process in stage.stack.processes
        if process.pid is not None and spared.get(process.role, process.label) == process.label
    }
    return {**found, "this client": os.getpid()}


async def sample(stage: Stage, samples: Samples) -> None:
    """Note the resident memory of the survivors, in KiB, until cancelled."""
    now = asyncio.get_running_loop().time
    while True:
        for label, pid in survivors(stage).items():
            samples[label].append((now(), psutil.Process(pid).memory_info().rss / 1024))
        await asyncio.sleep(SAMPLE_S)


def strike(stage: Stage, rng: random.Random) -> None:
    """Kill a worker or a gateway that may be killed, or cut a link."""
    victims = [
        process
        for role in (Role.WORKER, Role.GATEWAY)
        for process in stage.processes(role)[1:]
        if process.ready
    ]
    if victims and rng.random() < 0.8:
        stage.signal(rng.choice(victims), signal.SIGKILL)
    elif stage.proxy.connections:
        rng.choice(stage.proxy.connections).cut()


async def measure(given: argparse.Namespace, directory: Path) -> Figures:
    rng = random.Random(1)
    now = asyncio.get_running_loop().time
    samples: Samples = defaultdict(list)
    pauses: list[float] = []
    kills = 0
    async with (
        stages.raised(directory, workers=3, gateways=2) as stage,
        streaming(stage, given.sessions, rate=0.0, ahead=4) as streams,
    ):
        # Full speed first: the soak runs at a share of it.
        answered, began = sum(s.handled for s in streams), now()
        await asyncio.sleep(FULL_SPEED_S)
        full = (sum(s.handled for s in streams) - answered) / (now() - began)
        for stream in streams:
            stream.pace(given.share * full / len(streams))
        sampling = asyncio.create_task(sample(stage, samples))
        answered, began = sum(s.handled for s in streams), now()
        until = began + 60 * given.minutes
        while (moment := now()) < until:
            for stream in streams:
                stream.watch_gaps()
            strike(stage, rng)
            kills += 1
            await progressed(streams)
            pauses += [stream.gap_s for stream in streams]
            await asyncio.sleep(max(0.0, moment + KILL_S - now()))
        rate = (sum(s.handled for s in streams) - answered) / (now() - began)
        sampling.cancel()
        await asyncio.wait({sampling})
    figures: dict[str, dict[str, float]] = {
        "answers/s": {"full speed": round(full), "soak": round(rate), "kills": kills},
        "pauses": milliseconds(pauses),
    }
    for label, found in samples.items():
        settled = found[int(SETTLED_SHARE * len(found)) :]
        figures[label] = {
            "MiB at the end": round(settled[-1][1] / 1024, 1),
            "KiB a minute": slope(settled),
            # What levels off grows less here; a leak grows as much.
            "in 2nd half": slope(settled[len(settled) // 2 :]),
        }
    return figures


def slope(samples: list[tuple[float, float]]) -> float:
    """KiB a minute, by least squares."""
    at = np.array(samples)
    return round(float(np.polyfit((at[:, 0] - at[0, 0]) / 60, at[:, 1], 1)[0]), 1)


if __name__ == "__main__":
    command("soak", __doc__, measure, minutes=7.0, share=0.7, sessions=16)
