"""One run: raise a stage, stream, strike, look at what is left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from foundation.redis import connect as connect_redis
from registry.live.store import SPENT_TICKET_MS, TOMBSTONE_MS
from tests.chaos import stage as stages
from tests.chaos.faults import KINDS, Strike, inflict, schedule
from tests.chaos.report import Report
from tests.chaos.stage import NETWORK, Stage
from tests.chaos.streams import Stream
from tests.support.conditions import until

RECOVERY_S = 60.0
"""A strike from which the sessions have not recovered by then is a violation."""
TICKET_MS = 60_000
OPENING_AT_ONCE = 10
DIRECT_SHARE = 3
"""Of so many sessions one streams straight to its worker, until a fault sends it to a gateway."""


@dataclass(frozen=True, slots=True)
class Run:
    """What is asked for.

    Args:
        directory: for the data and the log of the stack.
        seed: of the schedule, the victims and the inputs.
        faults: how many.
        sessions: streaming at the same time.
        rate: inputs a second of each.
        workers: at the start.
        gateways: behind the proxy.
        kinds: of faults.
        environment: settings of the services.
        say: takes a line about each strike.
    """

    directory: Path
    seed: int = 1
    faults: int = 30
    sessions: int = 8
    rate: float = 25.0
    workers: int = 3
    gateways: int = 2
    kinds: Sequence[str] = tuple(KINDS)
    environment: dict[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = lambda _line: None


async def run(wanted: Run) -> Report:
    """Do it, to the end or to the first strike from which the sessions do not recover."""
    report = Report(wanted.seed, wanted.sessions)
    async with stages.raised(
        wanted.directory,
        workers=wanted.workers,
        gateways=wanted.gateways,
        **wanted.environment,
    ) as stage:
        cell = await stages.add_network(stage)
        streams = [
            Stream(
                stage.client,
                NETWORK,
                cell,
                seed=wanted.seed * 100_000 + index,
                rate=wanted.rate,
                config={"route": "direct" if index % DIRECT_SHARE == 0 else "broker"},
            )
            for index in range(wanted.sessions)
        ]
        try:
            await _open(streams)
            started_at = time.monotonic()
            await _strike_all(stage, streams, wanted, report)
            report.duration_s = time.monotonic() - started_at
            await stage.ready()
            await _settled(stage, streams, report)
        finally:
            await asyncio.gather(*(stream.finish() for stream in streams))
        _count(streams, report)
        report.leftovers += await _left(stage)
    return report


async def _open(streams: Sequence[Stream]) -> None:
    turn = asyncio.Semaphore(OPENING_AT_ONCE)

    async def open_one(stream: Stream) -> None:
        async with turn:
            await stream.open()

    async with asyncio.TaskGroup() as tasks:
        for stream in streams:
            tasks.create_task(open_one(stream))


async def _strike_all(stage: Stage, streams: Sequence[Stream], wanted: Run, report: Report) -> None:
    for number, strike in enumerate(schedule(wanted.seed, wanted.faults, wanted.kinds), 1):
        await asyncio.sleep(strike.pause_s)
        recovered = await _strike(stage, streams, strike, report)
        pauses = sorted(stream.gap_s for stream in streams)
        report.strikes += 1
        report.faults.update(strike.kinds)
        report.pauses_s[strike.label] += pauses
        bad = sum(len(stream.tally.violations) for stream in streams)
        wanted.say(
            f"{number:>5} {' + '.join(strike.kinds):<40} pauses p50 "
            f"{1000 * pauses[len(pauses) // 2]:.0f} max {1000 * pauses[-1]:.0f} ms"
            + (f"  {bad} VIOLATIONS" if bad else "")
        )
        if not recovered:
            return


async def _strike(stage: Stage, streams: Sequence[Stream], strike: Strike, report: Report) -> bool:
    for stream in streams:
        # What an empty Redis does may show at a later death of an owner, and be told of once more
        # until the client has acknowledged an answer that followed.
        stream.loss_allowed = strike.loses
        stream.watch_gaps()
    try:
        async with asyncio.timeout(RECOVERY_S):
            await inflict(stage, strike)
        marks = [stream.tally.sent for stream in streams]
        await until(
            lambda: all(s.handled > mark for s, mark in zip(streams, marks, strict=True)),
            timeout_s=RECOVERY_S,
        )
        if strike.empties:
            # Until the owners have put everything back, the next fault could lose it too.
            await _put_back(stage, streams)
    except (TimeoutError, AssertionError) as error:
        report.violations.append(f"no recovery from {strike.kinds}: {error!r}")
        for stream, mark in zip(streams, marks if "marks" in locals() else [], strict=False):
            if stream.handled <= mark:
                stream.violated(f"stuck at {stream.handled} of {stream.tally.sent}")
        return False
    return True


async def _put_back(stage: Stage, streams: Sequence[Stream]) -> None:
    redis = await connect_redis(_redis_url(stage), timeout_s=RECOVERY_S)
    try:
        keys = [f"dc:{{{stream.session.id}}}:ckpt" for stream in streams]

        async def there() -> bool:
            return bool(await redis.exists(*keys) == len(keys))

        await until(there, timeout_s=RECOVERY_S)
    finally:
        await redis.aclose()


def _redis_url(stage: Stage) -> str:
    return f"redis://127.0.0.1:{stage.stack.ports.redis}/0"


async def _settled(stage: Stage, streams: Sequence[Stream], report: Report) -> None:
    """Every session has exactly one owner once nothing strikes any more."""
    held: list[int] = []

    async def one_owner_each() -> bool:
        held[:] = [worker.sessions for worker in await stage.client.workers()]
        return sum(held) == len(streams)

    try:
        await until(one_owner_each, timeout_s=20)
    except AssertionError:
        report.violations.append(f"{len(streams)} sessions, but workers hold {held}")


def _count(streams: Sequence[Stream], report: Report) -> None:
    for stream in streams:
        tally = stream.tally
        report.inputs += tally.sent
        report.answered += tally.answered
        report.lost += tally.lost
        report.lost_ranges += len(set(tally.lost_ranges))
        report.reconnects += stream.session.stats.reconnects
        report.violations += tally.violations
        if tally.sent != stream.handled:
            report.violations.append(
                f"{stream.session.id}: {tally.sent} inputs, {stream.handled} answers"
            )


async def _left(stage: Stage) -> list[str]:
    """What is kept of the sessions, beyond tombstones and spent tickets for their time."""
    redis = await connect_redis(_redis_url(stage), timeout_s=10)
    left: list[str] = []

    async def look() -> bool:
        left.clear()
        async for key in redis.scan_iter(match="dc:{ses_*", count=1000):
            name = key.decode()
            ttl_ms = await redis.pttl(key)
            kept_ms = TOMBSTONE_MS if name.endswith(":end") else 0
            if ":ticket:" in name:
                kept_ms = SPENT_TICKET_MS + TICKET_MS
            if not 0 <= ttl_ms <= kept_ms and ttl_ms != -2:
                left.append(f"{name} for {ttl_ms} ms")
        left.extend(
            f"{worker.sessions} sessions at {worker.name}"
            for worker in await stage.client.workers()
            if worker.sessions
        )
        return not left

    try:
        await until(look, timeout_s=10)
    except AssertionError:
        return left
    finally:
        await redis.aclose()
    return []
