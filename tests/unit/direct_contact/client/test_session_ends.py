"""How sessions end, and what those who wait are told."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from direct_contact.client import SessionClosed, SessionGone
from direct_contact.client.closing import FINAL, final_error
from direct_contact.session import CloseCode
from direct_contact.session.close_codes import may_reconnect
from foundation.errors import (
    DirectContactError,
    InvalidInput,
    LimitExceeded,
    NotFound,
    ProtocolViolation,
    Unauthenticated,
    Unavailable,
)
from protos.dc.v1 import stream_pb2 as pb
from tests.support.conditions import until
from tests.support.scripted_stream import Peer, ScriptedStream, echo, output


def x(value: float) -> np.ndarray:
    return np.array([value], np.float32)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (4500, Unauthenticated),
        (4501, ProtocolViolation),
        (4502, SessionGone),
        (4503, SessionGone),
        (4504, LimitExceeded),
        (4999, SessionGone),
        (1000, SessionClosed),
        (1009, ProtocolViolation),
    ],
)
async def test_session_ends_with_the_servers_error_when_it_is_closed_with(
    stream: ScriptedStream, code: int, kind: type[DirectContactError]
) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.input()
        await peer.send(error=pb.Error(code="because", message="this is why"))
        await peer.close(code)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        with pytest.raises(kind, match="this is why") as caught:
            await session.infer(x(1))
        assert caught.value.code == "because"
        with pytest.raises(kind):
            await session.send(x(2))
        if kind is SessionClosed:
            assert [one async for one in session] == []
        else:
            with pytest.raises(kind):
                await anext(session)
    assert len(stream.credentials) == 1
    assert not stream.called("DELETE", "sessions/ses_test")


def test_every_code_that_forbids_a_reconnect_has_its_error() -> None:
    final = {code for code in CloseCode if not may_reconnect(code)}
    assert final == set(FINAL)
    for code in final:
        assert str(code.value) in final_error(code, "", None).message


async def test_session_ends_when_the_server_breaks_the_rules(stream: ScriptedStream) -> None:
    codes: list[int | None] = []

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.input()
        await peer.send(outputs=[output(7, 7)])
        codes.append(await peer.gone())

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        with pytest.raises(ProtocolViolation, match=r"\(7, 0\) came where"):
            await session.infer(x(1))
    assert codes == [4501]


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", "a text"])
async def test_session_ends_when_the_server_sends_garbage(
    stream: ScriptedStream, garbage: bytes | str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.connection.send(garbage)
        assert await peer.gone() == 4501

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        with pytest.raises(ProtocolViolation):
            await session.infer(x(1))


async def test_closing_tells_those_who_wait_and_leaves_no_task(stream: ScriptedStream) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome(window_seq=1)
        await peer.input()
        await peer.until(lambda frame: frame.HasField("bye"))
        await peer.close(1000)

    stream.run(script)
    before = asyncio.all_tasks()
    async with stream.client() as client:
        async with client.session("digits") as session:
            answered = asyncio.create_task(session.infer(x(1)))
            await until(lambda: session.stats.frames_sent == 2)
            starved = asyncio.create_task(session.send(x(2)))
            reading = asyncio.create_task(anext(session))
            await asyncio.sleep(0)
        for task in (answered, starved):
            with pytest.raises(SessionClosed):
                await task
        with pytest.raises(StopAsyncIteration):
            await reading
    await until(lambda: not {t for t in asyncio.all_tasks() - before if "session" in t.get_name()})


async def test_closing_deletes_by_rest_when_the_link_is_down(stream: ScriptedStream) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        stream.refusals.extend([(503, {})] * 100)
        peer.drop()

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        await until(lambda: not session.connected)
    assert len(stream.called("DELETE", "sessions/ses_test")) == 1


async def test_closing_deletes_by_rest_when_the_server_does_not_say_goodbye(
    stream: ScriptedStream,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.gone()

    stream.run(script)
    async with stream.client(close_timeout_s=0.05) as client, client.session("digits"):
        pass
    assert len(stream.called("DELETE", "sessions/ses_test")) == 1


async def test_closing_survives_an_api_that_is_away(stream: ScriptedStream) -> None:
    stream.answers["DELETE", "sessions/ses_test"] = [(500, {"detail": "oops"})]

    async def script(peer: Peer) -> None:
        await peer.welcome()
        stream.refusals.extend([(503, {})] * 100)
        peer.drop()

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        await until(lambda: not session.connected)


async def test_closing_twice_does_nothing(stream: ScriptedStream) -> None:
    stream.run(echo)
    async with stream.client() as client:
        session = client.session("digits")
        await session.close()
        await session.open()
        await session.close()
        await session.close()


async def test_opening_raises_and_deletes_when_the_ticket_is_refused(
    stream: ScriptedStream,
) -> None:
    stream.refusals.extend([(401, {}), (401, {})])
    async with stream.client() as client:
        with pytest.raises(Unauthenticated):
            async with client.session("digits"):
                pass
    assert len(stream.called("DELETE", "sessions/ses_test")) == 1


async def test_opening_raises_when_the_server_stays_full(stream: ScriptedStream) -> None:
    stream.refusals.extend([(503, {"Retry-After": "60"})] * 3)
    async with stream.client() as client:
        with pytest.raises(Unavailable, match="503"):
            async with client.session("digits"):
                pass
    assert stream.credentials == ["dc.ticket.t1"]


async def test_opening_raises_when_the_server_turns_it_down(stream: ScriptedStream) -> None:
    stream.refusals.append((404, {}))
    async with stream.client() as client:
        with pytest.raises(NotFound):
            async with client.session("digits"):
                pass


async def test_opening_raises_when_the_address_is_none(stream: ScriptedStream) -> None:
    session = {"id": "ses_test", "network": "digits", "version": 1}
    stream.answers["POST", "sessions"] = [
        (201, {"session": session, "stream": {"url": "http://nowhere", "ticket": "t"}})
    ]
    async with stream.client() as client:
        with pytest.raises(InvalidInput, match=r"stream\.url"):
            async with client.session("digits"):
                pass


async def test_opening_leaves_nothing_when_it_is_cancelled(stream: ScriptedStream) -> None:
    greeted = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.hello()
        greeted.set()
        assert await peer.gone() == 1001

    stream.run(script)
    async with stream.client() as client:
        opening = asyncio.create_task(client.session("digits").open())
        await greeted.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    assert len(stream.called("DELETE", "sessions/ses_test")) == 1


async def test_opening_tries_again_when_no_welcome_comes(stream: ScriptedStream) -> None:
    async def mute(peer: Peer) -> None:
        await peer.hello()
        await peer.gone()

    stream.run(mute, echo)
    async with (
        stream.client(welcome_timeout_s=0.05) as client,
        client.session("digits") as session,
    ):
        assert (await session.infer(x(1))).tolist() == [1]
    # The first ticket was spent.
    assert stream.credentials == ["dc.ticket.t1", "dc.ticket.t2"]


async def test_opening_raises_when_the_network_is_unknown(stream: ScriptedStream) -> None:
    stream.answers["POST", "sessions"] = [(404, {"detail": "no network 'x'", "code": "not_found"})]
    async with stream.client() as client:
        with pytest.raises(NotFound, match="no network 'x'"):
            async with client.session("x"):
                pass
    assert not stream.called("DELETE", "sessions/")
