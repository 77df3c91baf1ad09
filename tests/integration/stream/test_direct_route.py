"""Sessions that stream straight to their worker, and what becomes of them when it goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest
from redis.asyncio import Redis

from broker.nats import connect
from foundation.settings import BrokerSettings
from protos.dc.v1.stream_pb2 import (
    NOTICE_KIND_DRAINING,
    NOTICE_KIND_MIGRATED,
    OUTCOME_REPLAYED,
    OUTCOME_RESUMED,
    Ack,
    Output,
)
from tests.integration.stream.test_session_moves import check, collect
from tests.support.conditions import until
from tests.support.servers import NatsServer, RedisServer
from tests.support.stack import Process, RawLink, Running, Stack, inputs, running_stack

ROWS = np.random.default_rng(21).normal(size=(300, 4)).astype(np.float32)
ENDPOINT, GATEWAY = 0, 1
"""Ports of the stack below."""


@pytest.fixture
async def stack(running: Running) -> AsyncIterator[Stack]:
    """A worker with an endpoint, one without, and a gateway."""
    async with running(direct=1, worker=SMALL_STEPS) as started:
        yield started


SMALL_STEPS = {"worker_checkpoint_inputs": 16}


def named(stack: Stack, prefix: str) -> Process:
    return next(process for process in stack.processes if process.name.startswith(prefix))


async def answered(link: RawLink, start: int, stop: int) -> list[Output]:
    """Send these rows, of which row 0 is input 1, and take their outputs."""
    await link.send(inputs=inputs(ROWS[start:stop], first=start + 1))
    return await link.outputs(stop - start)


async def test_session_is_served_at_home_when_it_opens_at_an_endpoint(stack: Stack) -> None:
    direct = named(stack, "direct")
    for _ in range(8):
        record = await stack.add_session("recurrent")
        async with stack.link(record, gateway=ENDPOINT) as link:
            assert (await link.greet()).worker == direct.name
            check(await answered(link, 0, 5), ROWS[:5])
    # One registry for both halves.
    assert direct.metric("dc_gateway_streams_accepted_total") == 8
    assert direct.metric("dc_gateway_envelopes_out_total") == 0
    assert direct.metric("dc_worker_sessions") == 8


async def test_session_goes_on_through_a_gateway_when_its_link_to_the_worker_breaks(
    stack: Stack,
) -> None:
    record = await stack.add_session("recurrent")
    async with stack.link(record, gateway=ENDPOINT) as link:
        welcome = await link.greet()
        outputs = await answered(link, 0, 100)
    async with stack.link(record, token=welcome.resume_token, gateway=GATEWAY) as link:
        again = await link.greet(received_seq=100, received_last=True)
        # The worker lives and holds it: nothing moves but the socket.
        assert (again.outcome, again.worker) == (OUTCOME_RESUMED, welcome.worker)
        await link.send(inputs=inputs(ROWS[again.next_seq - 1 :], first=again.next_seq))
        outputs += await link.outputs(200)
    check(outputs, ROWS)


async def test_session_resumes_elsewhere_when_the_worker_it_streamed_to_dies(
    stack: Stack,
) -> None:
    record = await stack.add_session("recurrent")
    async with stack.link(record, gateway=ENDPOINT) as link:
        welcome = await link.greet()
        await link.send(inputs=inputs(ROWS[:200]))
        outputs, _ = await collect(link, 60)
        got = len(outputs)
        await link.send(ack=Ack(seq=40, last=True))
    direct = named(stack, "direct")
    direct.task.cancel()
    await asyncio.wait({direct.task})
    async with stack.link(record, token=welcome.resume_token, gateway=GATEWAY) as link:
        again = await link.greet(received_seq=got, received_last=True)
        assert again.outcome == OUTCOME_REPLAYED
        assert again.worker != welcome.worker
        assert again.epoch > welcome.epoch
        first = again.next_seq
        assert first <= got + 1
        await link.send(inputs=inputs(ROWS[first - 1 :], first=first))
        outputs += await link.outputs(300 - got)
    check(outputs, ROWS)


async def test_session_stays_on_its_socket_when_it_moves_to_another_worker(stack: Stack) -> None:
    direct, other = named(stack, "direct"), named(stack, "worker")
    record = await stack.add_session("recurrent")
    async with stack.link(record, gateway=ENDPOINT) as link:
        await link.greet()
        await link.send(inputs=inputs(ROWS[:100]))
        outputs, others = await collect(link, 50)
        session = direct.host.sessions[record.id]
        await direct.host.hand_over(session, other.name)
        await link.send(inputs=inputs(ROWS[100:200], first=101))
        rest, more = await collect(link, 200 - len(outputs))
        outputs += rest
        # And home again.
        await other.host.hand_over(other.host.sessions[record.id], direct.name)
        await link.send(inputs=inputs(ROWS[200:], first=201))
        rest, last = await collect(link, 300 - len(outputs))
    check(outputs + rest, ROWS)
    moved = [
        f.notice.worker for f in (*others, *more, *last) if f.notice.kind == NOTICE_KIND_MIGRATED
    ]
    assert moved == [other.name, direct.name]


async def test_session_goes_elsewhere_when_its_worker_sends_it_away(stack: Stack) -> None:
    direct, other = named(stack, "direct"), named(stack, "worker")
    record = await stack.add_session("recurrent")
    async with stack.link(record, gateway=ENDPOINT) as link:
        await link.greet()
        outputs = await answered(link, 0, 50)
        direct.host.taking.draining = True
        await direct.host.hand_over(direct.host.sessions[record.id], "")
        await link.send(inputs=inputs(ROWS[50:100], first=51))
        rest, _ = await collect(link, 50)
        assert record.id in other.host.sessions
    check(outputs + rest, ROWS[:100])


async def test_clients_are_sent_away_before_their_sessions_when_their_worker_drains(
    stack: Stack,
) -> None:
    record = await stack.add_session("recurrent")
    async with stack.link(record, gateway=ENDPOINT) as link:
        welcome = await link.greet()
        outputs = await answered(link, 0, 100)
        draining = asyncio.create_task(named(stack, "direct").drain())
        while (notice := (await link.receive()).notice).kind != NOTICE_KIND_DRAINING:
            pass
        assert notice.reconnect_after_ms > 0
        # It is answered until it leaves.
        await link.send(inputs=inputs(ROWS[100:150], first=101))
        outputs += (await collect(link, 50))[0]
    async with stack.link(record, token=welcome.resume_token, gateway=GATEWAY) as link:
        again = await link.greet(received_seq=150, received_last=True)
        await link.send(inputs=inputs(ROWS[again.next_seq - 1 :], first=again.next_seq))
        rest, _ = await collect(link, 150)
        await draining
        live = (await stack.store.read([record.id]))[0]
        assert live is not None
        assert live.owner == named(stack, "worker").name
    check(outputs + rest, ROWS)


async def test_stream_closes_with_4001_when_its_client_stays_at_a_draining_worker(
    stack: Stack,
) -> None:
    record = await stack.add_session("recurrent")
    async with stack.link(record, gateway=ENDPOINT) as link:
        await link.greet()
        draining = asyncio.create_task(named(stack, "direct").drain())
        await until(lambda: link.socket.close_code is not None)
        assert link.socket.close_code == 4001
        await draining


async def test_session_is_relayed_when_the_endpoints_worker_is_full(running: Running) -> None:
    async with running(direct=1, gateways=0, worker={"worker_max_sessions": 1}) as stack:
        homes = []
        # Both at a time: a session whose client is away would give way.
        async with AsyncExitStack() as links:
            for _ in range(2):
                record = await stack.add_session("recurrent")
                link = await links.enter_async_context(stack.link(record))
                homes.append((await link.greet()).worker)
                check(await answered(link, 0, 5), ROWS[:5])
    assert [home.split("-")[0] for home in homes] == ["direct", "worker"]


async def test_session_is_handed_over_when_the_broker_is_away_as_its_worker_drains(
    own_nats_server: NatsServer, redis: Redis, redis_server: RedisServer, tmp_path: Path
) -> None:
    broker = await connect(BrokerSettings(nats_url=own_nats_server.url), name="test")
    servers = broker, redis, own_nats_server, redis_server, tmp_path
    async with running_stack(*servers, workers=0, gateways=0, direct=1) as stack:
        record = await stack.add_session("recurrent")
        async with stack.link(record, gateway=ENDPOINT) as link:
            await link.greet()
            check(await answered(link, 0, 100), ROWS[:100])
            own_nats_server.kill()
            await until(lambda: not broker.connected)
            await named(stack, "direct").drain()
        (live,) = await stack.store.read([record.id])
        assert live is not None
        assert not live.owner
    await broker.close()
