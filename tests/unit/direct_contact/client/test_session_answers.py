"""Inputs and their answers, on a connection that holds."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from direct_contact.client import AnswerTimeout, InputFailed, SessionClosed
from foundation.errors import Conflict, InvalidInput, LimitExceeded
from protos.dc.v1 import stream_pb2 as pb
from tests.support.conditions import until
from tests.support.scripted_stream import Peer, ScriptedStream, echo, echo_on, number, output


def x(value: float) -> np.ndarray:
    return np.array([value], np.float32)


async def test_session_greets_with_ticket_and_says_bye_when_it_is_opened_and_closed(
    stream: ScriptedStream,
) -> None:
    hellos = []

    async def script(peer: Peer) -> None:
        hellos.append(await peer.welcome())
        frame = await peer.until(lambda frame: frame.HasField("bye"))
        assert not frame.inputs
        await peer.close(1000)

    stream.run(script)
    async with stream.client() as client, client.session("digits", mode="train") as session:
        assert session.id == "ses_test"
        assert session.version == 3
        assert session.worker == "worker-1"
        assert session.epoch == 1
        assert session.connected
    assert stream.credentials == ["dc.ticket.t1"]
    assert hellos == [pb.Hello(received_seq=0, oldest_retained_seq=1)]
    assert stream.called("POST", "sessions") == [{"network": "digits", "config": {"mode": "train"}}]
    assert not stream.called("DELETE", "sessions/ses_test")


async def test_infer_returns_the_array_when_the_answer_comes(stream: ScriptedStream) -> None:
    stream.run(echo)
    async with stream.client() as client, client.session("digits") as session:
        answers = [await session.infer(x(value)) for value in (1, 2, 3)]
    assert [float(answer[0]) for answer in answers] == [1, 2, 3]
    assert answers[0].dtype == np.float32


async def test_infer_full_tells_figures_loss_and_tensors_when_there_is_a_target(
    stream: ScriptedStream,
) -> None:
    from direct_contact.client.tensors import decode_payload, encode_payload

    async def script(peer: Peer) -> None:
        await peer.welcome()
        one = await peer.input()
        assert decode_payload(one.target)[""].tolist() == [7]
        assert one.budget_ms == 250
        payload = encode_payload({"output": x(4), "loss": np.float32(0.5)})
        await peer.send(
            outputs=[pb.Output(seq=1, last=True, payload=payload, queue_us=11, compute_us=22)]
        )
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        answer = await session.infer_full(x(1), np.array([7]), budget_ms=250)
    assert answer.array.tolist() == [4]
    assert answer.loss == 0.5
    assert set(answer.tensors) == {"output", "loss"}
    assert (answer.seq, answer.queue_us, answer.compute_us) == (1, 11, 22)
    assert answer.latency_s > 0


async def test_iterator_yields_what_was_sent_and_not_what_was_inferred(
    stream: ScriptedStream,
) -> None:
    stream.run(echo)
    async with stream.client() as client, client.session("digits") as session:
        assert await session.send(x(10)) == 1
        inferring = asyncio.create_task(session.infer(x(20)))
        await until(lambda: session.stats.inputs_sent == 2)
        assert await session.send(x(30)) == 3
        seen = []
        async for answer in session:
            seen.append((answer.seq, float(answer.array[0])))
            if len(seen) == 2:
                break
        assert seen == [(1, 10), (3, 30)]
        assert (await inferring).tolist() == [20]


async def test_iterator_ends_when_the_session_is_closed(stream: ScriptedStream) -> None:
    stream.run(echo)
    async with stream.client() as client:
        async with client.session("digits") as session:
            await session.send(x(1))

            async def read() -> list[int]:
                return [answer.seq async for answer in session]

            reading = asyncio.create_task(read())
            await until(lambda: session.stats.outputs_received == 1)
        assert await reading == [1]


async def test_iterator_refuses_a_second_reader(stream: ScriptedStream) -> None:
    stream.run(echo)
    async with stream.client() as client, client.session("digits") as session:
        first = asyncio.create_task(anext(session))
        await asyncio.sleep(0)
        with pytest.raises(Conflict):
            await anext(session)
        await session.send(x(1))
        assert (await first).seq == 1


async def test_answers_of_several_parts_reach_iterator_and_infer_full(
    stream: ScriptedStream,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        for seq in (1, 2, 3):
            await peer.until(lambda frame: frame.inputs)
            await peer.answer(seq, 1.5, part=0, last=False)
            await peer.answer(seq, 2.5, part=1, last=True)
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        whole = await session.infer_full(x(0))
        assert [part.array.tolist() for part in whole.parts] == [[1.5], [2.5]]
        assert (whole.part, whole.last) == (1, True)
        await session.send(x(0))
        first, second = await anext(session), await anext(session)
        assert [(one.seq, one.part, one.last) for one in (first, second)] == [
            (2, 0, False),
            (2, 1, True),
        ]
        with pytest.raises(InvalidInput, match="2 parts"):
            await session.infer(x(0))


async def test_failed_input_raises_in_infer_and_shows_in_the_iterator_and_ends_nothing(
    stream: ScriptedStream,
) -> None:
    wrong = pb.Error(code="invalid_input", message="input: expected shape [64], got [1]")

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.inputs(2)
        await peer.send(
            outputs=[
                pb.Output(seq=1, last=True, error=wrong),
                pb.Output(seq=2, last=True, error=wrong),
            ]
        )
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        await session.send(x(1))
        with pytest.raises(InputFailed, match=r"expected shape \[64\]") as caught:
            await session.infer(x(2))
        assert (caught.value.seq, caught.value.code) == (2, "invalid_input")
        failed = await anext(session)
        assert isinstance(failed.error, InputFailed)
        assert failed.loss is None
        assert failed.tensors == {}
        with pytest.raises(InputFailed):
            _ = failed.array
        assert (await session.infer(x(3))).tolist() == [3]


async def test_inputs_of_one_turn_leave_as_one_frame(stream: ScriptedStream) -> None:
    frames: list[pb.ClientFrame] = []

    async def script(peer: Peer) -> None:
        await peer.welcome()
        frames.append(await peer.frame())
        await peer.send(outputs=[output(seq, seq) for seq in range(1, 11)])
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        answers = await asyncio.gather(*(session.infer(x(value)) for value in range(10)))
    assert [one.seq for one in frames[0].inputs] == list(range(1, 11))
    assert [float(answer[0]) for answer in answers] == list(range(1, 11))


async def test_frames_stay_below_max_frame_bytes(stream: ScriptedStream) -> None:
    sizes: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.welcome(max_frame_bytes=1000)
        seen = 0
        while seen < 20:
            frame = await peer.frame()
            sizes.append(frame.ByteSize())
            seen += len(frame.inputs)
        await peer.send(outputs=[output(seq, seq) for seq in range(1, 21)])
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        large = np.zeros(80, np.float32)
        await asyncio.gather(*(session.infer(large) for _ in range(20)))
    assert max(sizes) <= 1000
    assert len(sizes) == 10


async def test_infer_refuses_an_input_that_fits_no_frame(stream: ScriptedStream) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome(max_frame_bytes=1000)
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        with pytest.raises(InvalidInput, match="max_frame_bytes 1000") as caught:
            await session.infer(np.zeros(300, np.float32))
        assert caught.value.code == "input_too_large"
        assert session.stats.inputs_sent == 0
        assert (await session.infer(x(1))).tolist() == [1]


async def test_send_waits_when_there_is_no_credit(stream: ScriptedStream) -> None:
    granted = asyncio.Event()
    seen: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.welcome(window_seq=2)
        seen.extend(one.seq for one in await peer.inputs(2))
        await granted.wait()
        await peer.send(progress=pb.Progress(window_seq=4, window_bytes=1 << 20))
        seen.extend(one.seq for one in await peer.inputs(2))
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        sending = [asyncio.create_task(session.send(x(value))) for value in range(4)]
        await until(lambda: len(seen) == 2)
        assert [task.done() for task in sending] == [True, True, False, False]
        granted.set()
        assert [await task for task in sending] == [1, 2, 3, 4]
        await until(lambda: seen == [1, 2, 3, 4])


async def test_send_waits_when_the_byte_credit_is_used_up(stream: ScriptedStream) -> None:
    seen: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.welcome(window_bytes=1000)
        seen.extend(one.seq for one in await peer.inputs(2))
        await peer.send(progress=pb.Progress(durable_seq=1))
        seen.extend(one.seq for one in await peer.inputs(1))
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        large = np.zeros(100, np.float32)
        for _ in range(3):
            await session.send(large)
        await until(lambda: seen == [1, 2, 3])


async def test_send_leaves_nothing_behind_when_it_is_cancelled_waiting_for_credit(
    stream: ScriptedStream,
) -> None:
    more = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome(window_seq=1)
        assert number(await peer.input()) == 1
        await more.wait()
        await peer.send(progress=pb.Progress(window_seq=9))
        second = await peer.input()
        assert (second.seq, number(second)) == (2, 3)
        await peer.send(outputs=[output(1, 1), output(2, 3)])
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        await session.send(x(1))
        dropped = asyncio.create_task(session.send(x(2)))
        kept = asyncio.create_task(session.send(x(3)))
        await asyncio.sleep(0)
        dropped.cancel()
        await asyncio.wait({dropped})
        more.set()
        assert await kept == 2
        assert [(await anext(session)).seq, (await anext(session)).seq] == [1, 2]


async def test_infer_sends_cancel_and_discards_the_answer_when_it_is_cancelled(
    stream: ScriptedStream,
) -> None:
    got = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.input()
        got.set()
        frame = await peer.until(lambda frame: frame.HasField("cancel"))
        assert frame.cancel.seq == 1
        await peer.answer(1, 5)
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        inferring = asyncio.create_task(session.infer(x(1)))
        await got.wait()
        inferring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await inferring
        await session.send(x(2))
        answer = await anext(session)
        assert (answer.seq, answer.array.tolist()) == (2, [2])
        assert session._conversation.inbox._entries == {}


async def test_infer_raises_and_cancels_when_the_answer_takes_too_long(
    stream: ScriptedStream,
) -> None:
    cancelled = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.until(lambda frame: frame.HasField("cancel"))
        cancelled.set()
        await peer.answer(1, 5)
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        with pytest.raises(AnswerTimeout, match=r"input 1: .*timeout_s=0\.01"):
            await session.infer(x(1), timeout_s=0.01)
        await cancelled.wait()
        assert (await session.infer(x(2))).tolist() == [2]


async def test_acknowledgement_rides_on_the_next_input(stream: ScriptedStream) -> None:
    acks: list[tuple[int, bool]] = []

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.input()
        await peer.answer(1, 1)
        frame = await peer.until(lambda frame: frame.inputs)
        acks.append((frame.ack.seq, frame.ack.last))
        await peer.answer(2, 2)
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        await session.infer(x(1))
        await session.infer(x(2))
    assert acks == [(1, True)]


async def test_acknowledgement_leaves_alone_when_nothing_else_does(stream: ScriptedStream) -> None:
    acked = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.input()
        await peer.answer(1, 1, part=0, last=False)
        frame = await peer.until(lambda frame: frame.HasField("ack"))
        assert not frame.inputs
        assert frame.ack == pb.Ack(seq=1, part=0, last=False)
        acked.set()
        await peer.answer(1, 1, part=1)
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        await session.infer_full(x(1))
        await acked.wait()


async def test_acknowledgement_leaves_at_once_when_somebody_lacks_credit(
    stream: ScriptedStream,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome(window_seq=1)
        for seq in range(1, 30):
            await peer.input()
            await peer.answer(seq, seq)
            frame = await peer.until(lambda frame: frame.HasField("ack"))
            assert frame.ack.seq == seq
            await peer.send(progress=pb.Progress(durable_seq=seq, window_seq=seq + 1))
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        await asyncio.gather(*(session.infer(x(0)) for _ in range(29)))


async def test_infer_many_keeps_order_and_window(stream: ScriptedStream) -> None:
    stream.run(echo)
    async with stream.client() as client, client.session("digits") as session:
        inputs = (x(value) for value in range(300))
        answers = [float(y[0]) async for y in session.infer_many(inputs, window=16)]
        assert answers == list(range(300))
        assert session.stats.outputs_received == 300


async def test_infer_many_yields_before_a_slow_source_goes_on(stream: ScriptedStream) -> None:
    stream.run(echo)
    more = asyncio.Event()

    async def source() -> object:
        yield x(1)
        await more.wait()
        yield x(2)

    async with stream.client() as client, client.session("digits") as session:
        answers = session.infer_many(source(), window=8)
        assert (await anext(answers)).tolist() == [1]
        more.set()
        assert (await anext(answers)).tolist() == [2]
        with pytest.raises(StopAsyncIteration):
            await anext(answers)


async def test_infer_many_cancels_what_is_under_way_when_it_is_left_early(
    stream: ScriptedStream,
) -> None:
    cancelled: set[int] = set()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.inputs(4)
        await peer.answer(1, 1)
        while len(cancelled) < 3:
            frame = await peer.until(lambda frame: frame.HasField("cancel"))
            cancelled.add(frame.cancel.seq)
        await peer.send(outputs=[output(seq, seq) for seq in range(2, 6)])
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        answers = session.infer_many((x(value) for value in range(100)), window=4)
        async for _ in answers:
            break
        await answers.aclose()
        await until(lambda: len(cancelled) >= 3)
        assert cancelled <= {2, 3, 4, 5}


async def test_infer_many_raises_when_its_source_does(stream: ScriptedStream) -> None:
    stream.run(echo)

    def source() -> object:
        yield x(1)
        raise ValueError("no more")

    async with stream.client() as client, client.session("digits") as session:
        answers = session.infer_many(source())
        assert (await anext(answers)).tolist() == [1]
        with pytest.raises(ValueError, match="no more"):
            await anext(answers)


async def test_send_refuses_when_nobody_reads_the_outputs(stream: ScriptedStream) -> None:
    stream.run(echo)
    async with stream.client(max_unread=3) as client, client.session("digits") as session:
        for value in range(3):
            await session.send(x(value))
        await until(lambda: session.stats.outputs_received == 3)
        with pytest.raises(LimitExceeded, match="max_unread is 3"):
            await session.send(x(4))
        assert (await anext(session)).seq == 1
        assert await session.send(x(4)) == 4


async def test_send_waits_for_a_slow_reader(stream: ScriptedStream) -> None:
    stream.run(echo)
    async with stream.client(max_unread=2) as client, client.session("digits") as session:
        first = asyncio.create_task(anext(session))
        for value in range(3):
            await session.send(x(value))
        assert (await first).seq == 1
        await until(lambda: session.stats.outputs_received == 3)
        blocked = asyncio.create_task(session.send(x(9)))
        await asyncio.sleep(0)
        assert not blocked.done()
        assert (await anext(session)).seq == 2
        assert await blocked == 4


async def test_calls_raise_when_the_session_is_not_open(stream: ScriptedStream) -> None:
    stream.run(echo)
    async with stream.client() as client:
        session = client.session("digits")
        with pytest.raises(SessionClosed):
            await session.infer(x(1))
        async with session:
            pass
        with pytest.raises(SessionClosed):
            await session.infer(x(1))
        with pytest.raises(SessionClosed):
            await session.send(x(1))
        with pytest.raises(Conflict):
            await session.open()
