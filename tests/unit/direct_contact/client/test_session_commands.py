"""Commands on the stream: in order, repeated until they have a result."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from direct_contact.client import AnswerTimeout, SessionClosed
from foundation.errors import Conflict, InvalidInput, LimitExceeded, Unavailable
from protos.dc.v1 import stream_pb2 as pb
from tests.support.scripted_stream import Peer, ScriptedStream, echo, echo_on

COMMANDS = "sessions/ses_test/commands"


def x(value: float) -> np.ndarray:
    return np.array([value], np.float32)


async def command(peer: Peer) -> pb.Command:
    """The next command; inputs that come before it are kept."""
    return (await peer.until(lambda frame: frame.HasField("command"))).command


async def test_command_resolves_with_its_result_when_the_worker_carried_it_out(
    stream: ScriptedStream,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        asked = await command(peer)
        assert asked.kind == pb.COMMAND_KIND_RESET
        assert asked.arguments == '{"weights": true}'
        result = pb.CommandResult(command_id=asked.command_id, after_seq=4, result='{"a": 1}')
        await peer.send(command_result=result)
        await peer.send(command_result=result)
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        result = await session.command("reset", weights=True)
    assert result.pop("command_id")
    assert result == {"type": "reset", "after_seq": 4, "a": 1}
    assert not stream.called("POST", COMMANDS)


async def test_reset_stands_between_the_inputs_when_it_is_sent_among_them(
    stream: ScriptedStream,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        asked = await command(peer)
        assert asked.after_seq == 2
        assert [one.seq for one in peer.waiting()] in ([], [1, 2])
        await peer.send(command_result=pb.CommandResult(command_id=asked.command_id, after_seq=2))
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        await session.send(x(1))
        await session.send(x(2))
        reset = asyncio.create_task(session.command("reset"))
        # It is on its way before anything that is sent from here on.
        await asyncio.sleep(0)
        await session.send(x(3))
        assert (await reset)["after_seq"] == 2


async def test_command_is_sent_again_when_the_link_breaks(stream: ScriptedStream) -> None:
    asked: list[pb.Command] = []

    async def first(peer: Peer) -> None:
        await peer.welcome()
        asked.append(await command(peer))
        peer.drop()

    async def second(peer: Peer) -> None:
        await peer.welcome(outcome=pb.OUTCOME_RESUMED)
        asked.append(await command(peer))
        await peer.send(command_result=pb.CommandResult(command_id=asked[1].command_id))
        await echo_on(peer)

    stream.run(first, second)
    async with stream.client() as client, client.session("digits") as session:
        await session.command("pause")
    assert asked[0] == asked[1]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (pb.Error(code="invalid_input", message="told"), InvalidInput),
        (pb.Error(code="not_trainable", message="told"), Conflict),
        (pb.Error(code="moved", message="told", retryable=True), Unavailable),
    ],
)
async def test_command_raises_what_the_worker_told_when_it_was_refused(
    stream: ScriptedStream, error: pb.Error, kind: type[Exception]
) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        asked = await command(peer)
        await peer.send(command_result=pb.CommandResult(command_id=asked.command_id, error=error))
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        with pytest.raises(kind, match="told") as caught:
            await session.command("reset")
        assert getattr(caught.value, "code", "") == error.code


async def test_command_ends_when_its_time_is_over_or_its_session(stream: ScriptedStream) -> None:
    stream.run(echo)
    async with stream.client() as client:
        async with client.session("digits") as session:
            with pytest.raises(AnswerTimeout, match=r"timeout_s=0\.001; it may still take effect"):
                await session.command("pause", timeout_s=0.001)
            waiting = asyncio.create_task(session.command("pause"))
            await asyncio.sleep(0)
        with pytest.raises(SessionClosed):
            await waiting
        with pytest.raises(SessionClosed):
            await session.command("pause")


async def test_command_is_refused_when_too_many_wait_or_it_is_too_large(
    stream: ScriptedStream,
) -> None:
    stream.run(echo)
    async with stream.client() as client, client.session("digits") as session:
        with pytest.raises(InvalidInput, match="the limit is 65536"):
            await session.command("reset", more="x" * 70_000)
        waiting = [asyncio.create_task(session.command("pause")) for _ in range(32)]
        await asyncio.sleep(0)
        with pytest.raises(LimitExceeded, match="32 wait"):
            await session.command("pause")
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)


async def test_command_goes_by_rest_when_the_session_is_detached(stream: ScriptedStream) -> None:
    stream.answers["POST", COMMANDS] = [
        (200, {"command_id": "c", "type": "pause", "after_seq": 0, "result": {}})
    ]
    stream.run(echo, echo)
    async with stream.client() as client, client.session("digits") as session:
        await session.detach()
        await session.command("pause")
        await session.attach()
    assert [body["type"] for body in stream.called("POST", COMMANDS)] == ["pause"]
