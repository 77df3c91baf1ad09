"""Sockets that break, servers that go away, states that are lost."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from direct_contact.client import (
    InputFailed,
    Notice,
    NoticeKind,
    SessionGone,
    SessionLost,
)
from direct_contact.client.reconnecting import Backoff
from protos.dc.v1 import stream_pb2 as pb
from tests.support.conditions import until
from tests.support.scripted_stream import (
    Peer,
    ScriptedStream,
    echo,
    echo_on,
    number,
    output,
)


def x(value: float) -> np.ndarray:
    return np.array([value], np.float32)


async def test_session_resumes_by_token_and_resends_when_the_link_breaks(
    stream: ScriptedStream,
) -> None:
    async def first(peer: Peer) -> None:
        await peer.welcome(resume_token="one")
        await peer.inputs(3)
        await peer.answer(1, 1)
        peer.drop()

    async def second(peer: Peer) -> None:
        hello = await peer.welcome(
            outcome=pb.OUTCOME_RESUMED, resume_token="two", durable_seq=0, next_seq=1
        )
        assert hello.received_seq in (0, 1)
        assert hello.received_last == (hello.received_seq == 1)
        assert hello.oldest_retained_seq == 1
        again = await peer.inputs(3)
        assert [(one.seq, number(one)) for one in again] == [(1, 10), (2, 20), (3, 30)]
        await peer.send(outputs=[output(seq, seq * 10) for seq in (1, 2, 3)][hello.received_seq :])
        await echo_on(peer)

    stream.run(first, second)
    async with stream.client() as client, client.session("digits") as session:
        answers = await asyncio.gather(*(session.infer(x(value)) for value in (10, 20, 30)))
        assert [float(answer[0]) for answer in answers[1:]] == [20, 30]
        assert session.stats.reconnects == 1
        assert session.stats.inputs_resent == 3
        assert session.stats.outcomes == ["new", "resumed"]
    assert stream.credentials == ["dc.ticket.t1", "dc.resume.one"]


async def test_session_waits_and_sends_later_when_the_link_is_down(stream: ScriptedStream) -> None:
    back = asyncio.Event()

    async def first(peer: Peer) -> None:
        await peer.welcome()
        peer.drop()

    async def second(peer: Peer) -> None:
        await back.wait()
        await peer.welcome()
        await echo_on(peer)

    stream.run(first, second)
    async with stream.client() as client, client.session("digits") as session:
        await until(lambda: not session.connected)
        inferring = asyncio.create_task(session.infer(x(1)))
        sending = asyncio.create_task(session.send(x(2)))
        await asyncio.sleep(0)
        assert not sending.done()
        back.set()
        assert (await inferring).tolist() == [1]
        assert await sending == 2


async def test_outputs_that_come_again_are_dropped(stream: ScriptedStream) -> None:
    async def first(peer: Peer) -> None:
        await peer.welcome()
        await peer.inputs(2)
        await peer.answer(1, 1)
        await peer.until(lambda frame: frame.HasField("ack"))
        peer.drop()

    async def second(peer: Peer) -> None:
        hello = await peer.welcome(outcome=pb.OUTCOME_REPLAYED)
        assert hello.received_seq == 1
        await peer.inputs(2)
        await peer.send(outputs=[output(1, 1), output(2, 2)])
        await echo_on(peer)

    stream.run(first, second)
    async with stream.client() as client, client.session("digits") as session:
        await session.send(x(1))
        await session.send(x(2))
        assert [(await anext(session)).seq, (await anext(session)).seq] == [1, 2]
        assert session.stats.duplicates_dropped == 1


async def test_input_that_was_answered_as_dropped_is_resent_with_skip(
    stream: ScriptedStream,
) -> None:
    async def first(peer: Peer) -> None:
        await peer.welcome()
        await peer.inputs(2)
        late = pb.Error(code="deadline_exceeded", message="it waited 9 ms")
        await peer.send(outputs=[pb.Output(seq=1, last=True, error=late), output(2, 2)])
        await peer.until(lambda frame: frame.HasField("ack") and frame.ack.seq == 2)
        peer.drop()

    async def second(peer: Peer) -> None:
        await peer.welcome(outcome=pb.OUTCOME_REPLAYED)
        again = await peer.inputs(2)
        assert [one.skip for one in again] == [True, False]
        assert again[1].payload
        await echo_on(peer)

    stream.run(first, second)
    async with stream.client() as client, client.session("digits") as session:
        results = await asyncio.gather(
            session.infer(x(1), budget_ms=5), session.infer(x(2)), return_exceptions=True
        )
        assert isinstance(results[0], InputFailed)
        assert results[0].code == "deadline_exceeded"
        await until(lambda: session.stats.reconnects == 1)
        assert (await session.infer(x(3))).tolist() == [3]


async def test_cancel_is_repeated_when_its_socket_is_lost(stream: ScriptedStream) -> None:
    async def first(peer: Peer) -> None:
        await peer.welcome()
        await peer.input()
        got.set()
        await peer.until(lambda frame: frame.HasField("cancel"))
        peer.drop()

    async def second(peer: Peer) -> None:
        await peer.welcome(outcome=pb.OUTCOME_REPLAYED)
        frame = await peer.until(lambda frame: frame.HasField("cancel"))
        assert frame.cancel.seq == 1
        error = pb.Error(code="cancelled", message="input 1 was cancelled")
        await peer.send(outputs=[pb.Output(seq=1, last=True, error=error)])
        await echo_on(peer)

    got = asyncio.Event()
    stream.run(first, second)
    async with stream.client() as client, client.session("digits") as session:
        inferring = asyncio.create_task(session.infer(x(1)))
        await got.wait()
        inferring.cancel()
        await asyncio.wait({inferring})
        assert (await session.infer(x(2))).tolist() == [2]


@pytest.mark.parametrize("code", [4001, 4002, 4003, 4005, 1001, 1011, 1012])
async def test_session_reconnects_when_it_is_closed_with(stream: ScriptedStream, code: int) -> None:
    async def first(peer: Peer) -> None:
        await peer.welcome()
        await peer.close(code, "come back")

    stream.run(first, echo)
    async with stream.client() as client, client.session("digits") as session:
        assert (await session.infer(x(1))).tolist() == [1]
        await until(lambda: session.stats.reconnects == 1)
    assert stream.credentials[1] == "dc.resume.token"


async def test_session_comes_back_when_the_gateway_drains(stream: ScriptedStream) -> None:
    notices: list[Notice] = []

    async def first(peer: Peer) -> None:
        await peer.welcome()
        await peer.send(notice=pb.Notice(kind=pb.NOTICE_KIND_DRAINING, reconnect_after_ms=40))
        assert await peer.gone() == 1001

    stream.run(first, echo)
    async with (
        stream.client() as client,
        client.session("digits", on_notice=notices.append) as session,
    ):
        await until(lambda: session.stats.reconnects == 1)
        assert (await session.infer(x(1))).tolist() == [1]
        assert notices == [Notice(NoticeKind.DRAINING, reconnect_after_ms=40)]
        assert list(session.notices) == notices


async def test_session_follows_its_worker_when_it_migrates(stream: ScriptedStream) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.send(notice=pb.Notice(kind=pb.NOTICE_KIND_MIGRATED, worker="worker-2", epoch=5))
        await echo_on(peer)

    def on_notice(notice: Notice) -> None:
        raise RuntimeError("a fault of the user's is not the session's")

    stream.run(script)
    async with (
        stream.client() as client,
        client.session("digits", on_notice=on_notice) as session,
    ):
        await until(lambda: session.worker == "worker-2")
        assert session.epoch == 5
        assert (await session.infer(x(1))).tolist() == [1]


async def test_session_tries_again_when_the_server_is_full(stream: ScriptedStream) -> None:
    stream.refusals.extend([(503, {"Retry-After": "0"}), (502, {}), (429, {"Retry-After": "0"})])
    stream.run(echo)
    async with stream.client() as client, client.session("digits") as session:
        assert (await session.infer(x(1))).tolist() == [1]
    assert stream.credentials == ["dc.ticket.t1"] * 4


async def test_session_mints_a_ticket_when_its_resume_token_is_refused(
    stream: ScriptedStream,
) -> None:
    async def first(peer: Peer) -> None:
        await peer.welcome()
        stream.refusals.append((401, {}))
        peer.drop()

    stream.run(first, echo)
    async with stream.client() as client, client.session("digits") as session:
        assert (await session.infer(x(1))).tolist() == [1]
    assert stream.credentials == ["dc.ticket.t1", "dc.resume.token", "dc.ticket.t2"]


async def test_session_is_gone_when_a_new_ticket_is_refused_too(stream: ScriptedStream) -> None:
    async def first(peer: Peer) -> None:
        await peer.welcome()
        await peer.input()
        stream.refusals.extend([(401, {}), (401, {})])
        peer.drop()

    stream.run(first)
    async with stream.client() as client, client.session("digits") as session:
        with pytest.raises(SessionGone):
            await session.infer(x(1))
        with pytest.raises(SessionGone):
            await session.infer(x(2))
        with pytest.raises(SessionGone):
            await anext(session)


async def test_session_is_gone_when_no_ticket_is_to_be_had(stream: ScriptedStream) -> None:
    stream.answers["POST", "sessions/ses_test/tickets"] = [
        (409, {"detail": "the session has ended", "code": "session_ended"})
    ]

    async def first(peer: Peer) -> None:
        await peer.welcome()
        await peer.input()
        stream.refusals.append((401, {}))
        peer.drop()

    stream.run(first)
    async with stream.client() as client, client.session("digits") as session:
        with pytest.raises(SessionGone, match="the session has ended"):
            await session.infer(x(1))


async def test_session_is_gone_when_it_was_superseded_and_the_token_is_refused(
    stream: ScriptedStream,
) -> None:
    async def first(peer: Peer) -> None:
        await peer.welcome()
        await peer.input()
        stream.refusals.append((401, {}))
        await peer.close(4004, "somebody else has it")

    stream.run(first)
    async with stream.client() as client, client.session("digits") as session:
        with pytest.raises(SessionGone, match="another connection"):
            await session.infer(x(1))
    assert stream.credentials == ["dc.ticket.t1", "dc.resume.token"]
    assert not stream.called("POST", "sessions/ses_test/tickets")


async def test_session_is_gone_when_it_cannot_be_resumed_in_time(stream: ScriptedStream) -> None:
    async def first(peer: Peer) -> None:
        await peer.welcome(resume_ttl_ms=60)
        await peer.input()
        stream.refusals.extend([(503, {})] * 50)
        peer.drop()

    stream.run(first)
    async with stream.client() as client, client.session("digits") as session:
        with pytest.raises(SessionGone, match=r"not resumed within 0\.06 s"):
            await session.infer(x(1))


async def test_dead_link_is_given_up_when_nothing_is_heard(stream: ScriptedStream) -> None:
    async def silent(peer: Peer) -> None:
        await peer.welcome(ping_interval_ms=40)
        frame = await peer.until(lambda frame: frame.HasField("ping"))
        assert frame.ping.nonce >= 1
        await peer.gone()

    stream.run(silent, echo)
    async with stream.client() as client, client.session("digits") as session:
        await until(lambda: session.stats.reconnects == 1)
        assert (await session.infer(x(1))).tolist() == [1]


async def test_link_lives_on_pongs(stream: ScriptedStream) -> None:
    pinged = 0

    async def script(peer: Peer) -> None:
        nonlocal pinged
        await peer.welcome(ping_interval_ms=40)
        while pinged < 5:
            frame = await peer.until(lambda frame: frame.HasField("ping"))
            pinged += 1
            await peer.send(pong=pb.Pong(nonce=frame.ping.nonce))
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        await until(lambda: pinged == 5)
        assert session.stats.reconnects == 0
        assert (await session.infer(x(1))).tolist() == [1]


async def test_lost_range_fails_its_inputs_and_the_session_goes_on(stream: ScriptedStream) -> None:
    notices: list[Notice] = []

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.inputs(4)
        await peer.answer(1, 1)
        lost = pb.Notice(kind=pb.NOTICE_KIND_LOST, lost_from=1, lost_to=3)
        await peer.send(notice=lost)
        await peer.answer(4, 4)
        # Its worker died before anything told that the client knows.
        await peer.send(notice=lost)
        await echo_on(peer)

    stream.run(script)
    async with (
        stream.client() as client,
        client.session("digits", on_notice=notices.append) as session,
    ):
        await session.send(x(1))
        inferring = asyncio.create_task(session.infer(x(2)))
        await until(lambda: session.stats.inputs_sent == 2)
        await session.send(x(3))
        await session.send(x(4))
        with pytest.raises(SessionLost) as caught:
            await inferring
        assert (caught.value.lost_from, caught.value.lost_to, caught.value.seq) == (1, 3, 2)
        seen = [await anext(session) for _ in range(3)]
        assert [one.seq for one in seen] == [1, 3, 4]
        assert isinstance(seen[1].error, SessionLost)
        assert seen[2].array.tolist() == [4]
        assert (await session.infer(x(5))).tolist() == [5]
        assert session.stats.inputs_lost == 2
        assert [(one.kind, one.lost_to) for one in notices] == [(NoticeKind.LOST, 3)]


async def test_lost_range_of_a_welcome_is_not_sent_again(stream: ScriptedStream) -> None:
    async def first(peer: Peer) -> None:
        await peer.welcome()
        await peer.inputs(3)
        peer.drop()

    async def second(peer: Peer) -> None:
        await peer.welcome(
            outcome=pb.OUTCOME_LOST, lost_from=1, lost_to=2, durable_seq=2, next_seq=3, epoch=2
        )
        again = await peer.input()
        assert again.seq == 3
        await peer.answer(3, 3)
        await echo_on(peer)

    stream.run(first, second)
    async with stream.client() as client, client.session("digits") as session:
        answers = await asyncio.gather(
            *(session.infer(x(value)) for value in (1, 2, 3)), return_exceptions=True
        )
        assert [type(answer) for answer in answers[:2]] == [SessionLost, SessionLost]
        assert answers[2].tolist() == [3]
        assert session.notices[-1].kind is NoticeKind.LOST
        assert session.stats.outcomes == ["new", "lost"]


async def test_session_stays_when_it_is_detached_and_goes_on_when_attached(
    stream: ScriptedStream,
) -> None:
    async def first(peer: Peer) -> None:
        await peer.welcome()
        await peer.input()
        assert await peer.gone() == 1001

    async def second(peer: Peer) -> None:
        await peer.welcome(outcome=pb.OUTCOME_RESUMED)
        assert (await peer.input()).seq == 1
        await peer.answer(1, 1)
        await echo_on(peer)

    stream.run(first, second)
    async with stream.client() as client:
        async with client.session("digits") as session:
            await session.send(x(1))
            await until(lambda: session.stats.frames_sent == 2)
            await session.detach()
            assert not session.connected
            await session.attach()
            assert (await anext(session)).array.tolist() == [1]
            await session.detach()
        assert not stream.called("DELETE", "sessions/ses_test")


def test_backoff_grows_to_its_cap_and_begins_again() -> None:
    backoff = Backoff(base_s=1.0, cap_s=8.0)
    delays = [[backoff.next_delay_s() for _ in range(6)] for _ in range(200)]
    # After six tries every bound is the cap.
    assert max(max(row) for row in delays) <= 8.0
    assert max(delays[0][0:1]) <= 1.0
    backoff.reset()
    assert backoff.next_delay_s() <= 1.0
    assert 5.0 <= backoff.next_delay_s(at_least_s=5.0) <= 7.0
