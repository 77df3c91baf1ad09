"""The frame path from a raw WebSocket to a worker and back."""

from __future__ import annotations

import numpy as np
import pytest

from protos.dc.v1.stream_pb2 import OUTCOME_NEW, OUTCOME_RESUMED, Ack, Bye, Ping
from tests.support.stack import Stack, inputs, values


@pytest.fixture
def stack(either_stack: Stack) -> Stack:
    """Everything here holds on both routes."""
    return either_stack


async def test_stream_answers_in_order_when_inputs_come_as_one_bundle(stack: Stack) -> None:
    record = await stack.add_session("linear")
    rows = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    async with stack.link(record) as link:
        welcome = await link.greet()
        assert welcome.outcome == OUTCOME_NEW
        assert welcome.next_seq == 1
        assert welcome.window_seq >= 200
        await link.send(inputs=inputs(rows))
        outputs = await link.outputs(200)
    assert [o.seq for o in outputs] == list(range(1, 201))
    assert all(o.last and not o.HasField("error") for o in outputs)
    assert values(outputs[0].payload).shape == (3,)


async def test_stream_resumes_without_loss_when_the_link_breaks(stack: Stack) -> None:
    record = await stack.add_session("recurrent")
    rows = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    async with stack.link(record) as link:
        welcome = await link.greet()
        await link.send(inputs=inputs(rows[:10]))
        first = await link.outputs(10)
    async with stack.link(record, token=welcome.resume_token) as link:
        again = await link.greet(received_seq=4, received_last=True, oldest_retained_seq=1)
        assert again.outcome == OUTCOME_RESUMED
        await link.send(inputs=inputs(rows[again.next_seq - 1 :], first=again.next_seq))
        rest = await link.outputs(16)
    assert [o.seq for o in rest] == list(range(5, 21))
    assert [o.payload for o in rest[:6]] == [o.payload for o in first[4:]]


async def test_stream_pings_and_frees_outputs_when_they_are_acknowledged(stack: Stack) -> None:
    record = await stack.add_session("linear")
    async with stack.link(record) as link:
        await link.greet()
        await link.send(inputs=inputs(np.zeros((600, 4), np.float32)))
        await link.outputs(600)
        await link.send(ack=Ack(seq=600, last=True))
        frame = await link.receive()
        assert frame.progress.durable_seq == 600
        await link.send(ping=Ping(nonce=7))
        assert (await link.receive()).pong.nonce == 7


async def test_session_leaves_nothing_behind_when_the_client_says_bye(stack: Stack) -> None:
    record = await stack.add_session("recurrent")
    async with stack.link(record) as link:
        await link.greet()
        await link.send(inputs=inputs(np.zeros((5, 4), np.float32)))
        await link.outputs(5)
        await link.send(bye=Bye())
        await link.socket.wait_closed()
        assert link.socket.close_code == 1000
        # Whoever hears of the end may delete the network.
        (live,) = await stack.store.read([record.id])
    assert live is not None
    assert live.ended_reason == "closed by the client"
