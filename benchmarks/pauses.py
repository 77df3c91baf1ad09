"""What the measurements of pauses share: a stage with streaming sessions, and a table."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from launcher.supervisor import Role
from launcher.supervisor.process import SupervisedProcess
from tests.chaos import stage as stages
from tests.chaos.report import percentile
from tests.chaos.stage import NETWORK, Stage
from tests.chaos.streams import Stream
from tests.support.conditions import until

OPEN_AT_ONCE = 16
DEADLINE_S = 60.0


@asynccontextmanager
async def streaming(
    stage: Stage, sessions: int, *, rate: float, ahead: int = 8
) -> AsyncIterator[list[Stream]]:
    """Checked sessions that stream at `rate` inputs a second each; closed at the end.

    Raises:
        AssertionError: an answer was lost, repeated, out of order or wrong.
    """
    cell = await stages.add_network(stage)
    streams = [
        Stream(stage.client, NETWORK, cell, seed=index, rate=rate, ahead=ahead)
        for index in range(sessions)
    ]
    gate = asyncio.Semaphore(OPEN_AT_ONCE)

    async def open_one(stream: Stream) -> None:
        async with gate:
            await stream.open()

    await asyncio.gather(*(open_one(stream) for stream in streams))
    await progressed(streams)
    yield streams
    await asyncio.gather(*(stream.finish() for stream in streams))
    wrong = [problem for stream in streams for problem in stream.tally.violations]
    assert not wrong, wrong[:5]


async def progressed(streams: Sequence[Stream]) -> None:
    """Return when every session has answered an input that is sent from now on."""
    marks = [stream.tally.sent for stream in streams]
    await until(
        lambda: all(s.handled > mark for s, mark in zip(streams, marks, strict=True)),
        timeout_s=DEADLINE_S,
    )


async def owner_of_all(stage: Stage, sessions: int) -> SupervisedProcess:
    """The worker that holds every session; waits until it tells so, and the others are warm."""
    found: list[SupervisedProcess] = []

    async def told() -> bool:
        ready = {p.name: p for p in stage.processes(Role.WORKER) if p.ready}
        workers = [w for w in await stage.client.workers() if w.name in ready]
        found[:] = [ready[w.name] for w in workers if w.sessions == sessions]
        return len(found) == 1 and len(workers) > 1 and all(w.networks for w in workers)

    await until(told, timeout_s=DEADLINE_S)
    return found[0]


def milliseconds(pauses_s: Sequence[float]) -> dict[str, float]:
    """Percentiles, in milliseconds."""
    return {
        "count": len(pauses_s),
        "p50 ms": round(1000 * percentile(pauses_s, 0.5), 2),
        "p90 ms": round(1000 * percentile(pauses_s, 0.9), 2),
        "p99 ms": round(1000 * percentile(pauses_s, 0.99), 2),
        "max ms": round(1000 * max(pauses_s), 2),
    }


Figures = Mapping[str, Mapping[str, Any]]
"""Rows of a table by their name."""


def command(
    name: str,
    description: str | None,
    measure: Callable[[argparse.Namespace, Path], Awaitable[Figures]],
    **defaults: float,
) -> None:
    """Run one measurement as a program: print its table, and write JSON where that is wanted.

    Args:
        name: of the module.
        description: for its --help.
        measure: gets the options and an empty directory.
        **defaults: its numeric options.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    for option, value in defaults.items():
        parser.add_argument(f"--{option.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix=f"dc-{name}-") as directory:
        figures = asyncio.run(_run(measure(given, Path(directory))))
    options = ", ".join(f"{option} {getattr(given, option)}" for option in defaults)
    print(f"{name}: {options}; load of this machine before: {load_before:.1f}")
    columns = list(dict.fromkeys(column for row in figures.values() for column in row))
    print(f"{'':<34}" + "".join(f"{column:>14}" for column in columns))
    for row, values in figures.items():
        cells = (str(values.get(column, "")) for column in columns)
        print(f"{row:<34}" + "".join(f"{cell:>14}" for cell in cells))
    if given.json is not None:
        found = {
            "measurement": name,
            "options": {option: getattr(given, option) for option in defaults},
            "load_before": load_before,
            "figures": figures,
        }
        given.json.write_text(json.dumps(found, indent=2) + "\n")


async def _run(work: Awaitable[Figures]) -> Figures:
    return await work
