"""What checkpoints cost: stateful sessions at full speed with and without them, by turns.

Two stacks run side by side, and one at a time is under load: one as it comes, one that never
writes a checkpoint (and gives credit without end in its place).
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.load.plan import Door
from benchmarks.load.rest import door_of
from benchmarks.measuring import Shape, put_load, random_payload
from benchmarks.pauses import Figures, command
from benchmarks.targets import ROLES, Target
from tests.chaos import stage as stages
from tests.chaos.oracle import INPUTS, SPEC
from tests.chaos.stage import NETWORK, Stage

WITHOUT = {
    "DC_WORKER_CHECKPOINT_INPUTS": str(10**9),
    "DC_WORKER_CHECKPOINT_MS": str(10**9),
    "DC_WORKER_WINDOW_INPUTS": str(10**9),
    "DC_WORKER_WINDOW_BYTES": str(1 << 40),
}
OPEN_AT_ONCE = 16


def target_of(name: str, stage: Stage) -> Target:
    """The stage as a target of the load generator."""

    async def doors(sessions: int) -> Sequence[Door]:
        gate = asyncio.Semaphore(OPEN_AT_ONCE)

        async def one() -> Door:
            async with gate:
                opened = await stage.client._rest.json(  # noqa: SLF001  # a ticket alone is needed
                    "POST", "sessions", body={"network": NETWORK}, idempotent=False
                )
                # Not through the proxy in this process: it would be what is measured.
                return replace(door_of(opened["stream"]), port=stage.stack.ports.stream[0])

        return await asyncio.gather(*(one() for _ in range(sessions)))

    def processes() -> dict[str, int]:
        return {ROLES[p.role]: p.pid for p in stage.stack.processes if p.pid is not None}

    return Target(name, processes, doors)


async def measure(given: argparse.Namespace, directory: Path) -> Figures:
    shape = Shape(sessions=given.sessions, outstanding=given.outstanding, measure_s=given.seconds)
    payload = random_payload(INPUTS)
    rates: dict[str, list[float]] = {"with": [], "without": []}
    used_us: dict[str, list[dict[str, float]]] = {"with": [], "without": []}
    async with (
        stages.raised(directory / "with", workers=1, gateways=1) as with_them,
        stages.raised(directory / "without", workers=1, gateways=1, **WITHOUT) as without,
    ):
        targets = {}
        for name, stage in (("with", with_them), ("without", without)):
            await stage.client.create_network(SPEC)
            targets[name] = target_of(name, stage)
        for turn in range(given.rounds):
            order = ["with", "without"] if turn % 2 else ["without", "with"]
            for name in order:
                sample = await put_load(targets[name], shape, payload)
                rates[name].append(sample.figures["answers/s"])
                used_us[name].append(sample.server_us)
    figures: dict[str, dict[str, float]] = {}
    for name, found in rates.items():
        figures[f"{name} checkpoints"] = {
            "answers/s": round(statistics.median(found)),
            "least": round(min(found)),
            "most": round(max(found)),
            **{
                f"{role} us": round(statistics.median(used[role] for used in used_us[name]), 1)
                for role in ("worker", "redis", "gateway", "nats")
            },
            "all us": round(statistics.median(sum(u.values()) for u in used_us[name]), 1),
        }
    ratios = [a / b for a, b in zip(rates["with"], rates["without"], strict=True)]
    figures["cost, % (median of rounds)"] = {
        "answers/s": round(100 * (1 - statistics.median(ratios)), 1),
        "all us": round(
            100 * (figures["with checkpoints"]["all us"] / figures["without checkpoints"]["all us"])
            - 100,
            1,
        ),
    }
    return figures


if __name__ == "__main__":
    command("checkpoint_cost", __doc__, measure, sessions=64, outstanding=8, rounds=8, seconds=3.0)
