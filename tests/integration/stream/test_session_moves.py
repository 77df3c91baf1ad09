"""Sessions that change their worker while their stream runs."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np

from ann_workers.backends.port import Request
from ann_workers.backends.registry import find_backend
from ann_workers.destinations import destinations
from broker import subjects
from broker.nats import NatsBroker
from protos.dc.internal.v1.envelope_pb2 import Envelope, Position
from protos.dc.v1.stream_pb2 import NOTICE_KIND_MIGRATED, Ack, ServerFrame
from protos.dc.v1.tensor_pb2 import Payload
from tests.support.stack import RECURRENT, Running, Stack, inputs, values, vector


def oracle(rows: np.ndarray) -> list[np.ndarray]:
    """The recurrent network over all rows, computed in one piece."""
    model = find_backend("numpy").load(RECURRENT, b"")
    state = model.new_state()
    answers = []
    for row in rows:
        tensors = Payload.FromString(vector(row)).tensors
        answer = model.infer([Request(tensors=tensors, state=state)])[0]
        state = answer.state
        answers.append(values(answer.payload))
    return answers


async def collect(link, count: int) -> tuple[list, list[ServerFrame]]:
    outputs: list = []
    others: list[ServerFrame] = []
    while len(outputs) < count:
        frame = await link.receive()
        outputs.extend(frame.outputs)
        if not frame.outputs:
            others.append(frame)
    return outputs, others


def check(outputs: list, rows: np.ndarray) -> None:
    assert [output.seq for output in outputs] == list(range(1, len(rows) + 1))
    for output, expected in zip(outputs, oracle(rows), strict=True):
        np.testing.assert_allclose(values(output.payload), expected, atol=1e-5)


async def test_session_goes_on_elsewhere_when_its_worker_drains(running: Running) -> None:
    rows = np.random.default_rng(3).normal(size=(300, 4)).astype(np.float32)
    async with running(workers=2) as stack:
        record = await stack.add_session("recurrent")
        async with stack.link(record) as link:
            welcome = await link.greet()
            owner = next(p for p in stack.processes if p.name == welcome.worker)
            await link.send(inputs=inputs(rows[:100]))
            outputs, _ = await collect(link, 50)
            await link.send(inputs=inputs(rows[100:200], first=101))
            await owner.drain()
            await link.send(inputs=inputs(rows[200:], first=201))
            rest, others = await collect(link, 300 - len(outputs))
    check(outputs + rest, rows)
    moved = [f.notice for f in others if f.notice.kind == NOTICE_KIND_MIGRATED]
    assert len(moved) == 1
    assert moved[0].worker != welcome.worker
    assert moved[0].epoch > welcome.epoch


async def test_all_sessions_go_to_live_workers_when_their_worker_drains(
    stack: Stack, broker: NatsBroker, tmp_path: Path
) -> None:
    rows = np.random.default_rng(8).normal(size=(40, 4)).astype(np.float32)
    first = stack.processes[0]
    async with AsyncExitStack() as links:
        opened = []
        for _ in range(8):
            record = await stack.add_session("recurrent")
            link = await links.enter_async_context(stack.link(record))
            await link.greet()
            await link.send(inputs=inputs(rows[:20]))
            outputs, _ = await collect(link, 20)
            opened.append((link, outputs))
        others = [await stack.add_worker(tmp_path / name, name) for name in ("one", "two")]
        await first.drain()
        assert not first.host.sessions
        # Only those that live were asked.
        names = {other.name for other in others}
        assert names >= set(await destinations(broker, "default"))
        for link, outputs in opened:
            await link.send(inputs=inputs(rows[20:], first=21))
            rest, _ = await collect(link, 20)
            check(outputs + rest, rows)
        assert sum(len(other.host.sessions) for other in others) == 8


async def test_session_is_taken_over_when_its_worker_dies(running: Running) -> None:
    rows = np.random.default_rng(4).normal(size=(300, 4)).astype(np.float32)
    async with running(workers=2, worker={"worker_checkpoint_inputs": 16}) as stack:
        record = await stack.add_session("recurrent")
        async with stack.link(record) as link:
            welcome = await link.greet()
            owner = next(p for p in stack.processes if p.name == welcome.worker)
            await link.send(inputs=inputs(rows[:200]))
            outputs, _ = await collect(link, 30)
            owner.task.cancel()
            await link.send(inputs=inputs(rows[200:], first=201))
            rest, _ = await collect(link, 300 - len(outputs))
    check(outputs + rest, rows)


async def test_session_waits_and_goes_on_when_every_worker_is_gone_for_a_while(
    stack: Stack, tmp_path: Path
) -> None:
    rows = np.random.default_rng(5).normal(size=(60, 4)).astype(np.float32)
    record = await stack.add_session("recurrent")
    async with stack.link(record) as link:
        await link.greet()
        await link.send(inputs=inputs(rows[:30]))
        outputs, _ = await collect(link, 30)
        await stack.processes[0].drain()
        await link.send(inputs=inputs(rows[30:], first=31))
        await stack.add_worker(tmp_path / "late", "late")
        rest, _ = await collect(link, 30)
    check(outputs + rest, rows)


async def test_session_goes_on_when_its_worker_took_the_gateway_for_gone(stack: Stack) -> None:
    rows = np.random.default_rng(6).normal(size=(60, 4)).astype(np.float32)
    record = await stack.add_session("recurrent")
    worker, gateway = stack.processes
    async with stack.link(record) as link:
        await link.greet()
        await link.send(inputs=inputs(rows[:30]))
        outputs, _ = await collect(link, 30)
        worker.host.inbox.gone(gateway.name, "a restarted broker said so")
        await link.send(inputs=inputs(rows[30:], first=31))
        rest, _ = await collect(link, 30)
        assert (await stack.store.read([record.id]))[0].epoch == 1
    check(outputs + rest, rows)


async def test_credits_are_told_again_when_the_gateway_asks_after_a_loss(stack: Stack) -> None:
    record = await stack.add_session("linear")
    async with stack.link(record) as link:
        await link.greet()
        await link.send(inputs=inputs(np.zeros((300, 4), np.float32)))
        await link.outputs(300)
        await link.send(ack=Ack(seq=300, last=True))
        told = (await link.receive()).progress
        assert told.durable_seq == 300
        # As after a gap in the gateway's link: nothing changed, but the last Progress was lost.
        gateway, worker = stack.processes[-1].name, stack.processes[0].name
        again = Envelope(sender=gateway, link=10_000)
        again.to_worker.add(
            session=record.id,
            epoch=1,
            attachment=1,
            send_after=Position(seq=300, last=True),
        )
        await stack.broker.publish(subjects.worker_in(worker), again.SerializeToString())
        assert (await link.receive()).progress == told
