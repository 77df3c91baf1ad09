"""What thousands of resumes and deaths would leave behind: after some of them, nothing is."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
from redis.asyncio import Redis

from broker.links import Links
from broker.nats import NatsBroker
from direct_contact.gateway.hub import Hub
from direct_contact.gateway.metrics import GatewayMetrics
from direct_contact.gateway.stream import Stream
from protos.dc.v1.stream_pb2 import Bye
from tests.integration.stream.test_session_faults import closed
from tests.support.conditions import until
from tests.support.servers import NatsServer, RedisServer
from tests.support.stack import Process, Stack, inputs, running_stack

ROUNDS = 12
ROWS = np.random.default_rng(31).normal(size=(4 * ROUNDS, 4)).astype(np.float32)


def hub_of(process: Process) -> Hub:
    return next(
        collector._hub
        for collector in process.registry._collector_to_names
        if isinstance(collector, GatewayMetrics)
    )


def links_left(links: Links) -> dict[str, int]:
    client = links._broker._client
    return {
        "peers": len(links._peers),
        "ready": len(links._ready),
        "blocked": len(links._blocked),
        "questions": len(links._broker._questions._waiting),
        "handlers": len(client._handlers),
        "subscriptions": len(client._subs),
    }


def hub_left(hub: Hub) -> dict[str, int]:
    return {
        "streams": len(hub.streams),
        "workers": len(hub._by_worker),
        "background": len(hub._background),
        **links_left(hub.links),
    }


def worker_left(process: Process) -> dict[str, int]:
    host = process.host
    return {
        "sessions": len(host.sessions),
        "gateways": len(host.by_gateway),
        "background": len(host.background),
        "absent": len(host.parking),
        "absent bytes": host.parking.bytes,
        "dirty": len(host.checkpoints._dirty),
        "marked": len(host.outbox._marked),
        "turns": len(host.engine._turns),
        "wanted": len(host.taking._wanted),
        "taking": len(host.taking._tasks),
        **links_left(host.links),
    }


async def stream_in_turns(stack: Stack, tmp_path: Path, sessions: int) -> None:
    """Each session resumes once with each of many workers, and ends."""
    records = [await stack.add_session("recurrent") for _ in range(sessions)]
    tokens = [""] * sessions
    for turn in range(ROUNDS):
        worker = await stack.add_worker(tmp_path / "worker", f"worker-{turn}")
        sent = 4 * turn
        for at, record in enumerate(records):
            async with stack.link(record, token=tokens[at]) as link:
                hello = {"received_seq": sent, "received_last": True} if sent else {}
                welcome = await link.greet(oldest_retained_seq=1, **hello)
                tokens[at] = welcome.resume_token
                first = welcome.next_seq
                await link.send(inputs=inputs(ROWS[first - 1 : sent + 4], first))
                await link.outputs(4)
                if turn == ROUNDS - 1:
                    await link.send(bye=Bye())
                    await closed(link)
        if turn == ROUNDS - 1:
            await worker.drain()
            return
        # Its sessions' next owners do not count it as failed.
        checkpoints = worker.host.checkpoints.stats
        await until(lambda stats=checkpoints: stats.written >= sessions)
        worker.task.cancel()


async def test_tables_are_as_at_first_when_many_resumes_and_worker_deaths_are_over(
    broker: NatsBroker,
    redis: Redis,
    nats_server: NatsServer,
    redis_server: RedisServer,
    tmp_path: Path,
) -> None:
    async with running_stack(
        broker,
        redis,
        nats_server,
        redis_server,
        tmp_path,
        workers=0,
        worker={"worker_checkpoint_ms": 1},
    ) as stack:
        (gateway,) = stack.processes
        hub = hub_of(gateway)
        at_first = hub_left(hub)
        await stream_in_turns(stack, tmp_path, sessions=4)
        await until(lambda: hub_left(hub) == at_first)
        # One for each peer, none for each question.
        assert len(hub.links._broker._client._prefixes) <= 2 * ROUNDS


async def test_tables_of_a_worker_are_as_at_first_when_its_sessions_came_and_went(
    stack: Stack,
) -> None:
    worker = stack.processes[0]
    at_first = worker_left(worker)
    for turn in range(3 * ROUNDS):
        record = await stack.add_session("linear" if turn % 2 else "recurrent")
        async with stack.link(record) as link:
            token = (await link.greet()).resume_token
            await link.send(inputs=inputs(ROWS[:4]))
            await link.outputs(4)
        async with stack.link(record, token=token) as link:
            await link.greet(received_seq=4, received_last=True)
            await link.send(bye=Bye())
            await closed(link)
    await until(lambda: worker_left(worker) == at_first)


async def test_closed_streams_are_freed_at_once_when_nobody_collects_garbage(stack: Stack) -> None:
    record = await stack.add_session("recurrent")
    token = ""
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            async with stack.link(record, token=token) as link:
                token = (await link.greet()).resume_token
        hub = hub_of(stack.processes[1])
        await until(lambda: not hub.streams and not hub._background)
        alive = sum(type(one) is Stream for one in gc.get_objects())
    finally:
        gc.enable()
    assert alive <= 1
