"""Memory under pressure: readers that stall, a worker that stalls, clients that flood."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from benchmarks import processes
from benchmarks.measuring import LoadFailed, Sample, Shape, put_load, random_payload
from benchmarks.statistics import Goal
from benchmarks.targets import ROOT, Ours, ours
from benchmarks.works.networks import FEATURES, SMALL
from benchmarks.works.work import Context, Variant, Work
from launcher.embedded.tether import tethered

SESSIONS = 16
ROWS = 32
PAYLOAD = random_payload(ROWS, FEATURES)
"""8 KiB: 1,024 of them are the 8 MiB of bytes that a session may have under way."""
LASTS_S = 4.0
LOOK_S = 0.05
MIB = 1 << 20

UNREAD, FLOOD, STALLED = "clients that do not read", "clients that flood", "a worker that stalls"

WINDOW_MIB, BUFFER_MIB, DETACHED_MIB = 8, 16, 256
"""`worker_window_bytes`, `gateway_max_buffered_bytes` and `worker_detached_bytes`."""
SESSION_MIB = WINDOW_MIB + 2 * WINDOW_MIB + BUFFER_MIB
"""What the limits allow a session: inputs kept at the gateway, inputs and answers kept at the
worker, answers that wait for their reader."""
BOUND_MIB = SESSIONS * SESSION_MIB + DETACHED_MIB
"""However many sessions came and went."""


@asynccontextmanager
async def _pressure(context: Context) -> AsyncIterator[Sequence[Variant]]:
    rounds = iter(range(1000))

    async def measure(press: Callable[[Ours], Awaitable[dict[str, Any]]]) -> Sample:
        # A stack of its own each time: freed memory would hide what pressure takes.
        async with ours(context.directory / f"{next(rounds)}", SMALL) as stack:
            target = stack.target("warm", SMALL["name"])
            await put_load(target, Shape(sessions=SESSIONS, measure_s=0.5), PAYLOAD)
            before = processes.resident_bytes(stack.processes())
            highest = dict(before)
            looking = asyncio.create_task(_look(stack, highest))
            try:
                detail = await press(stack)
            finally:
                looking.cancel()
            growth = {role: (highest[role] - before[role]) / MIB for role in before}
            total = sum(growth.values())
            opened = float(sum(detail.get("reasons", {}).values()) or SESSIONS)
            figures = {"sessions": opened, "growth MiB": total, "of its bound": total / BOUND_MIB}
            figures |= {f"{role} MiB": grown for role, grown in growth.items()}
            # It still works.
            await put_load(target, Shape(sessions=SESSIONS, measure_s=0.5), PAYLOAD)
        return Sample(figures, detail=detail)

    yield [
        Variant(UNREAD, partial(measure, partial(_press, flood=False))),
        Variant(FLOOD, partial(measure, partial(_press, flood=True))),
        Variant(STALLED, partial(measure, _stall)),
    ]


async def _look(stack: Ours, highest: dict[str, int]) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        for role, resident in processes.resident_bytes(stack.processes()).items():
            highest[role] = max(highest.get(role, 0), resident)


async def _press(stack: Ours, *, flood: bool) -> dict[str, Any]:
    url = urlsplit(stack.stack.rest_url)
    plan = {
        "host": url.hostname,
        "port": url.port,
        "api_key": stack.stack.api_key,
        "body": {"network": SMALL["name"]},
        "sessions": SESSIONS,
        "payload": PAYLOAD.hex(),
        "seconds": LASTS_S,
        "flood": flood,
    }
    process = await asyncio.create_subprocess_exec(
        *tethered([sys.executable, "-m", "benchmarks.load.pressing"]),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate(json.dumps(plan).encode() + b"\n")
    if process.returncode:
        raise LoadFailed("the load generator failed")
    told: dict[str, Any] = json.loads(output)
    return told


async def _stall(stack: Ours) -> dict[str, Any]:
    pid = stack.processes()["worker"]
    # An acknowledgement queues behind the inputs: three times so many have to fit in the credit.
    shape = Shape(sessions=SESSIONS, outstanding=300, warm_s=0.5, measure_s=LASTS_S)
    load = asyncio.create_task(put_load(stack.target(STALLED, SMALL["name"]), shape, PAYLOAD))
    try:
        await asyncio.sleep(LASTS_S / 2)
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(LASTS_S / 4)
    finally:
        # Started anew meanwhile, it is another process.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    return {"answers/s": (await load).figures["answers/s"]}


PRESSURE = Work(
    "pressure",
    f"memory under pressure: growth of all processes, {SESSIONS} sessions with 8 KiB inputs",
    ("sessions", "growth MiB", "of its bound", "gateway MiB", "worker MiB", "nats MiB"),
    _pressure,
    tuple(Goal("of its bound", who, "<=", 1.0) for who in (UNREAD, FLOOD, STALLED)),
    rounds=2,
)
