"""Sessions: their checkpoints, how fast they open, what an idle one weighs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from benchmarks import processes
from benchmarks.measuring import (
    LoadFailed,
    Sample,
    Shape,
    put_load,
    random_payload,
    run_generator,
    sample_of,
)
from benchmarks.statistics import Goal
from benchmarks.targets import ROOT, Ours, ours
from benchmarks.works.networks import FEATURES, GRU, SMALL
from benchmarks.works.work import Context, Variant, Work
from launcher.embedded.tether import tethered

# ---------------------------------------------------------------- checkpoints

ON, OFF = "checkpoints on", "checkpoints off"
_FREE = "benchmarks.references.free_checkpoints"
DIRECT_ON, DIRECT_OFF = "checkpoints on (direct)", "checkpoints off (direct)"


@asynccontextmanager
async def _checkpoints(context: Context) -> AsyncIterator[Sequence[Variant]]:
    payload = random_payload(FEATURES)
    shape = Shape(
        sessions=64,
        outstanding=4,
        warm_s=context.warm_s,
        measure_s=context.measure_s,
        cpus=context.load_cpus,
    )
    async with AsyncExitStack() as opened:
        with_them = await opened.enter_async_context(ours(context.directory / "on", GRU))
        without = await opened.enter_async_context(
            ours(context.directory / "off", GRU, worker_module=_FREE)
        )
        yield [
            Variant(
                name, partial(put_load, stack.target(name, GRU["name"], **config), shape, payload)
            )
            for name, stack, config in (
                (ON, with_them, {}),
                (OFF, without, {}),
                (DIRECT_ON, with_them, {"route": "direct"}),
                (DIRECT_OFF, without, {"route": "direct"}),
            )
        ]


CHECKPOINTS = Work(
    "gru",
    "64 stateful GRU sessions of 64 units × 4 outstanding",
    ("answers/s", "p50 ms", "p99 ms"),
    _checkpoints,
    (
        Goal("answers/s", ON, ">=", 0.95, OFF),
        Goal("answers/s", DIRECT_ON, ">=", 0.95, DIRECT_OFF),
    ),
)

# ---------------------------------------------------------------- opening

ONE, MANY = "one at a time", "16 at a time"


def _plan(stack: Ours, **more: Any) -> dict[str, Any]:
    url = urlsplit(stack.stack.rest_url)
    return {
        "host": url.hostname,
        "port": url.port,
        "api_key": stack.stack.api_key,
        "body": {"network": SMALL["name"]},
        "hold": 0,
        **more,
    }


@asynccontextmanager
async def _opening(context: Context) -> AsyncIterator[Sequence[Variant]]:
    async with ours(context.directory, SMALL) as stack:

        async def open_them(at_once: int) -> Sample:
            plan = _plan(stack, at_once=at_once, warm_s=context.warm_s, measure_s=context.measure_s)
            lasts_s = context.warm_s + context.measure_s
            sample = sample_of(
                await run_generator("benchmarks.load.opening", plan, stack.processes, lasts_s)
            )
            sample.figures["sessions/s"] = sample.figures.pop("answers/s")
            return sample

        yield [Variant(ONE, partial(open_them, 1)), Variant(MANY, partial(open_them, 16))]


OPENING = Work(
    "open",
    "opening a session: REST, upgrade, Welcome",
    ("sessions/s", "p50 ms", "p99 ms"),
    _opening,
    (
        Goal("p50 ms", ONE, "<=", 6.0, unit="ms"),
        Goal("sessions/s", MANY, ">=", 400.0, unit="a second"),
    ),
)

# ---------------------------------------------------------------- idle memory

IDLE = 5000
WARM = 100
"""Opened and closed before: what the first session loads is not what a session takes. What these
left may be used again, so they do not count among those that the growth is divided by."""
SETTLE_S = 3.0
HOLD_TIMEOUT_S = 300.0


@asynccontextmanager
async def _idle(context: Context) -> AsyncIterator[Sequence[Variant]]:
    rounds = iter(range(context.rounds))

    async def weigh() -> Sample:
        # A stack of its own each time: freed memory would hide what sessions take.
        async with ours(context.directory / f"idle-{next(rounds)}", SMALL) as stack:
            await _held(stack, WARM)
            await asyncio.sleep(SETTLE_S)
            before = processes.resident_bytes(stack.processes())
            after = await _held(stack, IDLE)
        each = {role: (after[role] - before[role]) / (IDLE - WARM) / 1024 for role in after}
        figures = {"KiB a session": sum(each.values())}
        figures |= {f"{role} KiB": kib for role, kib in each.items()}
        return Sample(figures, detail={"before": before, "after": after})

    yield [Variant(f"{IDLE:,} idle", weigh)]


async def _held(stack: Ours, sessions: int) -> Mapping[str, int]:
    """Memory of each process while that many sessions are open."""
    holder = await asyncio.create_subprocess_exec(
        *tethered([sys.executable, "-m", "benchmarks.load.opening"]),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        async with asyncio.timeout(HOLD_TIMEOUT_S):
            plan = json.dumps(_plan(stack, hold=sessions, at_once=16))
            holder.stdin.write(plan.encode() + b"\n")
            line = (await holder.stdout.readline()).decode().strip()
            if line != "begin":
                raise LoadFailed(line or "the holder of the sessions ended")
            await asyncio.sleep(SETTLE_S)
            weights = processes.resident_bytes(stack.processes())
            holder.stdin.close()
            await holder.wait()
    finally:
        if holder.returncode is None:
            holder.kill()
            await holder.wait()
    return weights


MEMORY = Work(
    "idle",
    "memory of idle sessions: growth of all processes",
    (
        "KiB a session",
        "gateway KiB",
        "worker KiB",
        "redis KiB",
        "rest KiB",
        "nats KiB",
    ),
    _idle,
    (Goal("KiB a session", f"{IDLE:,} idle", "<=", 20.0, unit="KiB"),),
    rounds=2,
)
