"""`python -m benchmarks.load`: a plan on standard input, "begin" and "end" and results on output.

The lines "begin" and "end" tell when the measured window opens and closes: whoever started this
process reads the CPU times of the servers then.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from typing import Any

import uvloop

from benchmarks.load.frames import ConstantMessages, InputMessages
from benchmarks.load.meter import Meter, histogram_us, percentiles_ms
from benchmarks.load.plan import Door, Plan
from benchmarks.load.talks import JsonTalk, PlainTalk, RawTalk, StreamTalk
from benchmarks.load.wires import Broken, HttpWire, NatsWire, WebSocketWire, Wire

OPEN_TIMEOUT_S = 30.0
OPEN_AT_ONCE = 64
PACE_S = 0.001
TALKS = {"plain": PlainTalk, "stream": StreamTalk, "raw": RawTalk, "json": JsonTalk}


async def run(plan: Plan) -> dict[str, Any]:
    """Put the load on, and measure."""
    meter = Meter()
    trouble: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: _break(trouble, repr(context.get("exception", context)))
    )
    talks = await _open(plan, meter, trouble)
    gc.collect()
    gc.freeze()
    gc.disable()
    pacing: asyncio.Task[None] | None = None
    if plan.rate:
        pacing = asyncio.create_task(_pace(talks, plan.rate))
    else:
        for talk in talks:
            talk.begin()
    await _pass(plan.warm_s, trouble)
    _say("begin")
    meter.start()
    await _pass(plan.measure_s, trouble)
    duration_s, cpu_s = meter.stop()
    _say("end")
    if pacing is not None:
        pacing.cancel()
    for talk in talks:
        talk.end()
    await asyncio.sleep(0.05)
    return {
        "answers": meter.answers,
        "duration_s": duration_s,
        "per_second": meter.per_second[: int(duration_s)],
        "cpu_s": cpu_s,
        "latency_ms": percentiles_ms(meter.latencies, (50, 90, 99, 99.9, 100)),
        "histogram_us": histogram_us(meter.latencies),
    }


async def _open(plan: Plan, meter: Meter, trouble: asyncio.Future[None]) -> list[PlainTalk]:
    kinds = {(door.wire, door.talk) for door in plan.doors}
    messages = {kind: _messages(plan.payload, *kind) for kind in kinds}
    gate = asyncio.Semaphore(OPEN_AT_ONCE)

    async def one(door: Door) -> PlainTalk:
        talk = TALKS[door.talk](
            meter,
            messages[door.wire, door.talk],
            outstanding=plan.outstanding,
            bundle=plan.bundle,
            expected=plan.expected,
        )
        talk.on_broken = lambda reason: _break(trouble, reason)
        talk.paced = plan.rate > 0
        async with gate:
            await connect(door, talk)
            await talk.ready
        return talk

    opening = asyncio.gather(*map(one, plan.doors))
    limit_s = OPEN_TIMEOUT_S + len(plan.doors) / 20
    waited_for: set[asyncio.Future[Any]] = {opening, trouble}
    await asyncio.wait(waited_for, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    if trouble.done():
        trouble.result()
    if not opening.done():
        raise Broken(f"the sessions were not open after {limit_s:.0f} s")
    return opening.result()


def _messages(payload: bytes, wire: str, talk: str) -> InputMessages | ConstantMessages:
    make = ConstantMessages if talk in ("raw", "json") else InputMessages
    return make(payload, websocket=wire == "websocket")


async def connect(door: Door, talk: PlainTalk) -> None:
    """Open the wire to a door."""

    def wire() -> Wire:
        if door.wire == "nats":
            return NatsWire(talk, door.path)
        if door.wire == "http":
            return HttpWire(talk, f"{door.host}:{door.port}", door.path)
        return WebSocketWire(talk, f"{door.host}:{door.port}", door.path, list(door.subprotocols))

    await asyncio.get_running_loop().create_connection(wire, door.host, door.port)


async def _pace(talks: list[PlainTalk], rate: float) -> None:
    """Send at a fixed rate; an input counts from when it was due, not from when it was sent."""
    started_at = time.perf_counter()
    sent = 0
    while True:
        due = int((time.perf_counter() - started_at) * rate)
        while sent < due:
            sent += 1
            talks[sent % len(talks)].send(1, started_at + sent / rate)
        await asyncio.sleep(PACE_S)


async def _pass(seconds: float, trouble: asyncio.Future[None]) -> None:
    done, _ = await asyncio.wait({trouble}, timeout=seconds)
    if done:
        trouble.result()


def _break(trouble: asyncio.Future[None], reason: str) -> None:
    if not trouble.done():
        trouble.set_exception(Broken(reason))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Read the plan, run it, write the result as the last line."""
    plan = Plan.from_json(json.loads(sys.stdin.readline()))
    if plan.cpus:
        os.sched_setaffinity(0, plan.cpus)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            _say(json.dumps(runner.run(run(plan))))
    except (Broken, OSError, TimeoutError) as error:
        _say(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
