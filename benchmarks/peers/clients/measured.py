"""What the clients share: the plan, the counting, the lines "begin" and "end"."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from array import array
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.load.meter import Meter, histogram_us, percentiles_ms

OPEN_TIMEOUT_S = 60.0
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Given:
    """The plan."""

    port: int
    outstanding: int
    values: bytes
    """One input: 64 float32."""


class Tally:
    """Counts one session; answers come in the order of the inputs."""

    def __init__(self, meter: Meter, expected: Sequence[float]) -> None:
        self.first_answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._meter = meter
        self._expected = expected
        self._sent_at: deque[float] = deque()

    @property
    def stopped(self) -> bool:
        """The measurement is over: send no more."""
        return self._meter.stopped

    def sent(self) -> None:
        """An input leaves."""
        self._sent_at.append(time.perf_counter())

    def answered(self, values: Callable[[], Any]) -> None:
        """An answer came."""
        now = time.perf_counter()
        took = now - self._sent_at.popleft()
        if self._meter.running:
            self._meter.count(1, now)
            self._meter.took(took)
        elif not self.first_answer.done():
            for got, wanted in zip(array("f", values()), self._expected, strict=False):
                if abs(got - wanted) > TOLERANCE:
                    raise ValueError(f"the first answer has {got}, expected {wanted}")
            self.first_answer.set_result(None)


Converse = Callable[[Given, Tally], Awaitable[None]]


async def _run(converse: Converse, plan: dict[str, Any]) -> dict[str, Any]:
    given = Given(plan["port"], plan["outstanding"], bytes.fromhex(plan["values"]))
    meter = Meter()
    tallies = [Tally(meter, plan["expected"]) for _ in range(plan["sessions"])]
    sessions = [asyncio.ensure_future(converse(given, tally)) for tally in tallies]
    for session in sessions:
        # What one of them died of is told, not what all others did.
        session.add_done_callback(lambda done: done.cancelled() or done.exception())
    async with asyncio.timeout(OPEN_TIMEOUT_S):
        for tally, session in zip(tallies, sessions, strict=True):
            await asyncio.wait({tally.first_answer, session}, return_when=asyncio.FIRST_COMPLETED)
            if session.done():
                session.result()
    gc.collect()
    gc.freeze()
    gc.disable()
    await asyncio.sleep(plan["warm_s"])
    _say("begin")
    meter.start()
    await asyncio.sleep(plan["measure_s"])
    duration_s, cpu_s = meter.stop()
    ended = [session for session in sessions if session.done()]
    _say("end")
    if ended:
        ended[0].result()
        raise ConnectionError(f"{len(ended)} streams ended before their time")
    return {
        "answers": meter.answers,
        "duration_s": duration_s,
        "per_second": meter.per_second[: int(duration_s)],
        "cpu_s": cpu_s,
        "latency_ms": percentiles_ms(meter.latencies, (50, 90, 99, 99.9, 100)),
        "histogram_us": histogram_us(meter.latencies),
    }


async def _told(converse: Converse, plan: dict[str, Any]) -> None:
    try:
        result = await _run(converse, plan)
    except Exception as error:  # noqa: BLE001  # whatever the peer's client raises is told
        result = {"error": f"{type(error).__name__}: {error}"[:500]}
    # Not at once: whoever heard the "end" looks at the servers, and one dies when its clients do.
    await asyncio.sleep(0.3)
    _say(json.dumps(result))
    # Some of these clients do not let themselves be cancelled.
    os._exit(0)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(converse: Converse) -> None:
    """Read the plan, run the sessions, write the result, and end."""
    asyncio.run(_told(converse, json.loads(sys.stdin.readline())))
