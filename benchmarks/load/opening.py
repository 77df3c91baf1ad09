"""`python -m benchmarks.load.opening`: opens sessions, one after the other in each of its lines.

A session is open when its Welcome is there: REST call, TCP connection, upgrade, Hello, Welcome.
With `hold`, every session stays open until standard input ends; otherwise each says Bye at once,
outside its own time but inside the window of the others.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from typing import Any

import uvloop

from benchmarks.load.__main__ import connect
from benchmarks.load.frames import InputMessages
from benchmarks.load.meter import Meter, percentiles_ms
from benchmarks.load.rest import RestLine, door_of
from benchmarks.load.talks import StreamTalk
from benchmarks.load.wires import Broken

PING_S = 10.0
OPEN_TIMEOUT_S = 30.0


async def run(plan: dict[str, Any]) -> dict[str, Any]:
    """Open sessions for a while, or a number of them and hold those."""
    held: list[StreamTalk] = []
    if plan["hold"]:
        await _hold(plan, held)
        return {}
    meter = Meter()
    lines = [_Line(plan, meter) for _ in range(plan["at_once"])]
    async with asyncio.TaskGroup() as tasks:
        for line in lines:
            tasks.create_task(line.repeat())
        await asyncio.sleep(plan["warm_s"])
        _say("begin")
        meter.start()
        await asyncio.sleep(plan["measure_s"])
        duration_s, cpu_s = meter.stop()
        _say("end")
    return {
        "answers": meter.answers,
        "duration_s": duration_s,
        "cpu_s": cpu_s,
        "latency_ms": percentiles_ms(meter.latencies, (50, 90, 99)),
    }


class _Line:
    """Opens one session at a time."""

    def __init__(self, plan: dict[str, Any], meter: Meter) -> None:
        self._rest = RestLine(plan["host"], plan["port"], plan["api_key"])
        self._body = plan["body"]
        self._meter = meter
        self._messages = InputMessages(b"", websocket=True)

    async def open(self) -> StreamTalk:
        """One session, welcomed."""
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            opened = await self._rest.post("/v1/sessions", self._body)
            talk = StreamTalk(self._meter, self._messages, outstanding=1, bundle=False, expected=())
            await connect(door_of(opened["stream"]), talk)
            await talk.ready
        return talk

    async def repeat(self) -> None:
        """Until the meter is stopped."""
        meter = self._meter
        while not meter.stopped:
            started_at = time.perf_counter()
            talk = await self.open()
            now = time.perf_counter()
            if meter.running:
                meter.count(1, now)
                meter.took(now - started_at)
            talk.on_broken = lambda _reason: None
            talk.end()
        self._rest.close()


async def _hold(plan: dict[str, Any], held: list[StreamTalk]) -> None:
    meter = Meter()
    left = iter(range(plan["hold"]))

    async def open_some() -> None:
        line = _Line(plan, meter)
        for _ in left:
            talk = await line.open()
            held.append(talk)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(plan["at_once"]):
            tasks.create_task(open_some())
    _say("begin")
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    waiting = asyncio.create_task(reader.read())
    while not waiting.done():
        for start in range(0, len(held), 100):
            for talk in held[start : start + 100]:
                talk.ping()
            # Spread: a hundred at a time over the interval.
            await asyncio.wait({waiting}, timeout=PING_S * 100 / max(100, len(held)))
            if waiting.done():
                break
    meter.stop()
    for talk in held:
        talk.end()
    await asyncio.sleep(0.5)
    _say("end")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Read the plan, carry it out, write the result as the last line."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    plan = json.loads(sys.stdin.readline())
    failed = False
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            _say(json.dumps(runner.run(run(plan))))
    except* (Broken, OSError, TimeoutError) as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        _say(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
