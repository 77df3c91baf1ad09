"""A session that streams straight to its worker, and where it goes when nobody answers there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest

from direct_contact.client import BlockingClient, dialing
from foundation.errors import Unavailable
from protos.dc.v1 import stream_pb2 as pb
from tests.support.conditions import until
from tests.support.scripted_stream import Peer, ScriptedStream, echo, echo_on, scripted_stream
from tests.support.servers import free_port

X = np.ones(1, np.float32)


@pytest.fixture
async def gateway() -> AsyncIterator[ScriptedStream]:
    """What the sessions of `stream` fall back to."""
    async with scripted_stream() as gateway:
        yield gateway


@pytest.fixture
async def worker(stream: ScriptedStream, gateway: ScriptedStream) -> ScriptedStream:
    """A worker's endpoint, and the REST API that leads to it."""
    stream.fallback_url = gateway.url
    return stream


def nobody() -> str:
    return f"ws://127.0.0.1:{free_port()}/v1/stream"


async def test_session_asks_for_the_direct_route_and_streams_to_the_worker(
    worker: ScriptedStream, gateway: ScriptedStream
) -> None:
    worker.run(echo)
    async with worker.client() as client, client.session("digits", route="direct") as session:
        assert (await session.infer(X)).tolist() == [1]
    assert worker.called("POST", "sessions")[0]["config"]["route"] == "direct"
    assert gateway.credentials == []


async def test_ticket_is_spent_at_the_gateway_when_the_worker_refuses_connections(
    worker: ScriptedStream, gateway: ScriptedStream
) -> None:
    worker.url = nobody()
    gateway.run(echo)
    async with worker.client() as client, client.session("digits", route="direct") as session:
        assert (await session.infer(X)).tolist() == [1]
    assert gateway.credentials == ["dc.ticket.t1"]


async def test_session_resumes_at_the_gateway_when_its_worker_is_gone(
    worker: ScriptedStream, gateway: ScriptedStream
) -> None:
    async def first(peer: Peer) -> None:
        await peer.welcome(resume_token="one")
        await peer.inputs(1)
        worker.refusals.append((503, {"Retry-After": "1"}))
        peer.drop()

    async def second(peer: Peer) -> None:
        await peer.welcome(outcome=pb.OUTCOME_REPLAYED, resume_token="two")
        await peer.echo(await peer.inputs(1))
        peer.drop()

    async def third(peer: Peer) -> None:
        await peer.welcome(outcome=pb.OUTCOME_RESUMED, durable_seq=1, next_seq=2)
        await echo_on(peer)

    worker.run(first)
    gateway.run(second, third)
    async with worker.client() as client, client.session("digits", route="direct") as session:
        assert (await session.infer(X)).tolist() == [1]
        assert (await session.infer(2 * X)).tolist() == [2]
    # The gateway has answered: the worker, from where the session has moved, is not asked again.
    assert worker.credentials == ["dc.ticket.t1", "dc.resume.one"]
    assert gateway.credentials == ["dc.resume.one", "dc.resume.two"]


async def test_session_resumes_at_its_worker_when_only_the_link_broke(
    worker: ScriptedStream, gateway: ScriptedStream
) -> None:
    async def first(peer: Peer) -> None:
        await peer.welcome(resume_token="one")
        await peer.inputs(1)
        peer.drop()

    worker.run(first, echo)
    async with worker.client() as client, client.session("digits", route="direct") as session:
        assert (await session.infer(X)).tolist() == [1]
    assert worker.credentials == ["dc.ticket.t1", "dc.resume.one"]
    assert gateway.credentials == []


async def test_session_goes_to_the_gateway_when_the_worker_does_not_answer_the_handshake(
    worker: ScriptedStream, gateway: ScriptedStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialing, "DIRECT_TIMEOUT_S", 0.2)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as frozen:
        port = frozen.sockets[0].getsockname()[1]
        worker.url = f"ws://127.0.0.1:{port}/v1/stream"
        gateway.run(echo)
        async with worker.client() as client, client.session("digits") as session:
            assert (await session.infer(X)).tolist() == [1]
    assert gateway.credentials == ["dc.ticket.t1"]


async def test_session_tries_both_again_when_neither_answers(
    worker: ScriptedStream, gateway: ScriptedStream
) -> None:
    # As when the client's own network is away: the worker is no worse than the gateway.
    async def first(peer: Peer) -> None:
        await peer.welcome(resume_token="one")
        worker.refusals.append((503, {}))
        gateway.refusals.append((503, {}))
        peer.drop()

    worker.run(first, echo)
    async with worker.client() as client, client.session("digits", route="direct") as session:
        await until(lambda: len(worker.credentials) == 3)
        assert (await session.infer(X)).tolist() == [1]
    assert gateway.credentials == ["dc.resume.one"]


async def test_session_asks_for_a_new_ticket_when_the_worker_refuses_its_token(
    worker: ScriptedStream, gateway: ScriptedStream
) -> None:
    async def first(peer: Peer) -> None:
        await peer.welcome(resume_token="one")
        worker.refusals.append((401, {}))
        peer.drop()

    worker.run(first, echo)
    async with worker.client() as client, client.session("digits", route="direct") as session:
        await until(lambda: len(worker.credentials) == 3)
        assert (await session.infer(X)).tolist() == [1]
    assert worker.credentials == ["dc.ticket.t1", "dc.resume.one", "dc.ticket.t2"]
    assert gateway.credentials == []


async def test_session_goes_to_the_gateway_when_something_else_answers_at_its_workers_address(
    worker: ScriptedStream, gateway: ScriptedStream
) -> None:
    async def first(peer: Peer) -> None:
        await peer.welcome(resume_token="one")
        worker.refusals.append((404, {}))
        peer.drop()

    worker.run(first)
    gateway.run(echo)
    async with worker.client() as client, client.session("digits", route="direct") as session:
        await until(lambda: bool(gateway.credentials))
        assert (await session.infer(X)).tolist() == [1]
    assert gateway.credentials == ["dc.resume.one"]


async def test_session_is_not_opened_when_no_worker_has_an_endpoint(
    worker: ScriptedStream,
) -> None:
    problem = {"detail": "no worker has an endpoint", "code": "no_direct_worker"}
    worker.answers["POST", "sessions"] = [(503, problem)]
    async with worker.client(patience_s=0) as client:
        with pytest.raises(Unavailable) as refused:
            await client.session("digits", route="direct").open()
    assert refused.value.code == "no_direct_worker"


async def test_blocking_session_falls_back_when_the_worker_refuses_connections(
    worker: ScriptedStream, gateway: ScriptedStream
) -> None:
    worker.url = nobody()
    gateway.run(echo)

    def use() -> list[float]:
        with (
            BlockingClient(
                "http://test", "dck_test", transport=httpx.MockTransport(worker._rest)
            ) as client,
            client.session("digits", route="direct") as session,
        ):
            return list(session.infer(X))

    assert await asyncio.to_thread(use) == [1]
    assert gateway.credentials == ["dc.ticket.t1"]
