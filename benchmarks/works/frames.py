"""Small and large frames through everything: latency, throughput, CPU time a frame."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from benchmarks.measuring import Shape, put_load, random_payload, values_of
from benchmarks.references.computing import Network
from benchmarks.statistics import Goal
from benchmarks.targets import Target, chain, nats_request_reply, ours, python_server
from benchmarks.works.networks import BATCHABLE, FEATURES, SMALL
from benchmarks.works.work import (
    BROKER,
    BUNDLED,
    CHAIN,
    DIRECT,
    NATS,
    PICOWS,
    PICOWS_ECHO,
    WEBSOCKETS,
    WEBSOCKETS_ECHO,
    Context,
    Prepare,
    Variant,
    Work,
)

ROWS = 256
"""256 rows of 64 float32 are 64 KiB."""


def _prepare(
    spec: Mapping[str, Any],
    *,
    sessions: int,
    outstanding: int,
    rows: int = 0,
    rate: float = 0.0,
    who: Sequence[str],
) -> Prepare:
    payload = random_payload(rows, FEATURES) if rows else random_payload(FEATURES)

    @asynccontextmanager
    async def prepare(context: Context) -> AsyncIterator[Sequence[Variant]]:
        wanted = [name for name in who if not context.only or name in context.only]
        expected = Network(dict(spec)).compute(values_of(payload)).reshape(-1)[:16].tolist()
        shape = partial(
            Shape,
            sessions=sessions,
            outstanding=outstanding,
            rate=rate,
            warm_s=context.warm_s,
            measure_s=context.measure_s,
            cpus=context.load_cpus,
        )
        async with AsyncExitStack() as opened:
            targets = await _start(opened, context, spec, wanted)
            yield [
                Variant(
                    name,
                    partial(
                        put_load,
                        targets[name],
                        shape(bundle=name == BUNDLED),
                        payload,
                        [] if name in (WEBSOCKETS_ECHO, PICOWS_ECHO, NATS) else expected,
                    ),
                )
                for name in wanted
            ]

    return prepare


async def _start(
    opened: AsyncExitStack, context: Context, spec: Mapping[str, Any], wanted: Sequence[str]
) -> dict[str, Target]:
    directory = context.directory
    servers = {
        WEBSOCKETS: ("websockets_server", "compute"),
        WEBSOCKETS_ECHO: ("websockets_server", "echo"),
        PICOWS: ("picows_server", "compute"),
        PICOWS_ECHO: ("picows_server", "echo"),
    }
    found: dict[str, Target] = {}
    for name in wanted:
        if name in servers:
            server = python_server(name, *servers[name], spec=spec)
            found[name] = await opened.enter_async_context(server)
        elif name == NATS:
            found[name] = await opened.enter_async_context(nats_request_reply(directory))
        elif name == CHAIN:
            found[name] = await opened.enter_async_context(chain(directory, spec=spec))
    if {BROKER, BUNDLED, DIRECT} & set(wanted):
        stack = await opened.enter_async_context(ours(directory / "stack", spec))
        for name in (BROKER, BUNDLED):
            found[name] = stack.target(name, spec["name"])
        found[DIRECT] = stack.target(DIRECT, spec["name"], route="direct")
    return found


EVERYBODY = (
    BROKER,
    DIRECT,
    CHAIN,
    WEBSOCKETS,
    PICOWS,
    WEBSOCKETS_ECHO,
    PICOWS_ECHO,
    NATS,
)

UNARY = Work(
    "unary",
    "latency of small frames, 1 session, 1 outstanding",
    ("p50 ms", "p99 ms"),
    _prepare(SMALL, sessions=1, outstanding=1, who=EVERYBODY),
    (
        Goal("p50 ms", BROKER, "<=", 0.85, CHAIN),
        Goal("p50 ms", DIRECT, "<=", 1.3, WEBSOCKETS),
        Goal("p99/p50", BROKER, "<=", 2.0),
        Goal("p99/p50", DIRECT, "<=", 2.0),
    ),
    base=CHAIN,
)

THROUGHPUT = Work(
    "small",
    "throughput of small frames, 16 sessions × 16 outstanding",
    ("answers/s", "p50 ms", "server µs"),
    _prepare(SMALL, sessions=16, outstanding=16, who=(BROKER, BUNDLED, *EVERYBODY[1:])),
    (
        Goal("answers/s", BROKER, ">=", 2.0, CHAIN),
        Goal("answers/s", DIRECT, ">=", 0.85, PICOWS),
        Goal("server µs", BROKER, "<=", 14.0, unit="µs"),
        Goal("server µs", DIRECT, "<=", 12.0, unit="µs"),
    ),
    base=CHAIN,
)

STEADY_RATE = 10_000.0

STEADY = Work(
    "steady",
    "latency at 10,000 inputs a second from 16 sessions, sent on time whatever comes back",
    ("p50 ms", "p99 ms", "answers/s"),
    _prepare(
        SMALL,
        sessions=16,
        outstanding=1,
        rate=STEADY_RATE,
        who=(BROKER, DIRECT, CHAIN, WEBSOCKETS, PICOWS),
    ),
    base=CHAIN,
)

LARGE = Work(
    "large",
    "64 KiB frames, 16 sessions × 4 outstanding",
    ("MB/s", "p50 ms", "server µs"),
    _prepare(SMALL, sessions=16, outstanding=4, rows=ROWS, who=EVERYBODY),
    (
        Goal("MB/s", BROKER, ">=", 1.0, CHAIN),
        Goal("MB/s", DIRECT, ">=", 0.8, WEBSOCKETS),
    ),
    base=CHAIN,
)

BATCHED = Work(
    "batchable",
    "a batchable network of 330 thousand parameters, 16 × 16",
    ("answers/s", "p50 ms", "server µs"),
    _prepare(
        BATCHABLE, sessions=16, outstanding=16, who=(BROKER, DIRECT, CHAIN, WEBSOCKETS, PICOWS)
    ),
    base=CHAIN,
)
