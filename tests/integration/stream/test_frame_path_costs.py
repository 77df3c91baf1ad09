"""What a frame costs, counted: a change that makes the frame path dearer fails here.

Nothing is timed. Everything runs in this process on asyncio's own loop, so the counts are exact.
When the path becomes cheaper, lower the numbers.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from websockets.frames import Frame, Opcode

from broker.links import Links
from broker.nats.client import DirectClient
from protos.dc.internal.v1.envelope_pb2 import Envelope, ToGateway, ToWorker
from protos.dc.v1.stream_pb2 import Ack, ClientFrame, Hello, ServerFrame
from protos.dc.v1.tensor_pb2 import Payload
from tests.support.conditions import until
from tests.support.stack import RawLink, Running, Stack, inputs

OURS = ("ann_workers", "broker", "direct_contact.gateway", "foundation", "registry")
MESSAGES = (Envelope, ToGateway, ToWorker, ClientFrame, ServerFrame, Payload)
ROWS = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
N = len(ROWS)
ASLEEP = {"busy_poll_us": 0}
"""How often a process that stays awake turns is a matter of time."""
LARGE_ROWS = np.random.default_rng(1).normal(size=(1, 2048, 4)).astype(np.float32)
"""One input of 32 KiB, whose answer is large too."""


@dataclass
class Costs:
    """What happened on the servers' side."""

    parses: Counter[str] = field(default_factory=Counter)
    """By message. An input's payload in the usual form is recognised, not parsed."""
    envelopes: Counter[str] = field(default_factory=Counter)
    """NATS messages, by receiver."""
    items: Counter[str] = field(default_factory=Counter)
    """Items in them, by receiver."""
    socket_writes: int = 0
    """To clients."""
    tasks: list[str] = field(default_factory=list)
    callbacks: Counter[str] = field(default_factory=Counter)
    """What our code put off to the next turn of the event loop."""


class CountedMessage:
    """A protobuf class that counts how often it is parsed."""

    def __init__(self, message: Any, parses: Counter[str]) -> None:
        self._message = message
        self._parses = parses

    def __call__(self, *given: Any, **fields: Any) -> Any:
        return self._message(*given, **fields)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._message, name)

    def FromString(self, data: bytes) -> Any:  # noqa: N802  # protobuf's name
        self._parses[self._message.DESCRIPTOR.name] += 1
        return self._message.FromString(data)


@contextmanager
def counted(stack: Stack) -> Iterator[Costs]:
    """Count inside."""
    costs = Costs()
    loop = asyncio.get_running_loop()
    with pytest.MonkeyPatch.context() as patch:
        # No heartbeats meanwhile: they have their own pace.
        patch.setattr(Links, "_look_at", lambda _self, _link, _now: None)
        _count_parses(patch, costs)
        _count_envelopes(patch, costs)
        _count_socket_writes(patch, costs, set(stack.ports))
        _count_callbacks(patch, costs, loop)

        def task(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> Any:
            # Redis's client makes its own when the lease is renewed, frames or not.
            if "site-packages" not in work.cr_code.co_filename:
                costs.tasks.append(work.__qualname__)
            return asyncio.Task(work, loop=loop, **more)

        loop.set_task_factory(task)
        try:
            yield costs
        finally:
            loop.set_task_factory(None)


def _count_parses(patch: pytest.MonkeyPatch, costs: Costs) -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith(OURS):
            for message in MESSAGES:
                attribute = message.DESCRIPTOR.name
                if getattr(module, attribute, None) is message:
                    patch.setattr(module, attribute, CountedMessage(message, costs.parses))


def _count_envelopes(patch: pytest.MonkeyPatch, costs: Costs) -> None:
    def look(subject: str, payload: bytes) -> None:
        if subject.startswith(("dc.w.", "dc.g.")):
            envelope = Envelope.FromString(payload)
            receiver = "worker" if subject.startswith("dc.w.") else "gateway"
            costs.envelopes[receiver] += 1
            costs.items[receiver] += len(envelope.to_worker) + len(envelope.to_gateway)

    post, send = DirectClient.post, DirectClient.send

    def counted_post(self: DirectClient, subject: str, parts: Sequence[bytes], reply: str) -> bool:
        look(subject, b"".join(parts))
        return post(self, subject, parts, reply)

    async def counted_send(self: DirectClient, subject: str, payload: bytes, reply: str) -> None:
        look(subject, payload)
        await send(self, subject, payload, reply)

    patch.setattr(DirectClient, "post", counted_post)
    patch.setattr(DirectClient, "send", counted_send)


def _count_socket_writes(patch: pytest.MonkeyPatch, costs: Costs, ports: set[int]) -> None:
    transport: Any = asyncio.selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
    for name in ("write", "writelines"):
        original = getattr(transport, name)

        def write(self: Any, data: Any, original: Any = original) -> None:
            if self.get_extra_info("sockname")[1] in ports:
                costs.socket_writes += 1
            original(self, data)

        patch.setattr(transport, name, write)


def _count_callbacks(
    patch: pytest.MonkeyPatch, costs: Costs, loop: asyncio.AbstractEventLoop
) -> None:
    call_soon = loop.call_soon

    def counted_call_soon(callback: Any, *given: Any, **more: Any) -> Any:
        name = getattr(callback, "__qualname__", "")
        # A compiled method does not tell its module; its class does.
        owner = type(getattr(callback, "__self__", None))
        module = getattr(callback, "__module__", None) or owner.__module__
        # The end of a task that was made before.
        if module.startswith(OURS) and "_done" not in name:
            costs.callbacks[name] += 1
        return call_soon(callback, *given, **more)

    patch.setattr(loop, "call_soon", counted_call_soon)


@asynccontextmanager
async def greeted(stack: Stack, sessions: int) -> AsyncIterator[list[RawLink]]:
    """Links that have had their first exchange, so that nothing is done for the first time."""
    async with AsyncExitStack() as opened:
        links = []
        for _ in range(sessions):
            record = await stack.add_session("linear")
            link = await opened.enter_async_context(stack.link(record))
            await link.send(hello=Hello(oldest_retained_seq=1))
            await link.receive()
            await link.send(inputs=inputs(ROWS[:1]))
            await link.outputs(1)
            links.append(link)
        await until(_attaching_is_over)
        yield links


def _attaching_is_over() -> bool:
    """The first frame of an attachment confirms it in Redis, in a task of its own."""
    names = {getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()}
    return not names & {"SessionStore.confirm", "_Pool.release"}


async def answers(link: RawLink, count: int) -> int:
    """Take `count` outputs without a timer of our own; returns the messages that they came in."""
    messages = 0
    while count > 0:
        count -= len(ServerFrame.FromString(await link.socket.recv(decode=False)).outputs)
        messages += 1
    assert count == 0
    return messages


def wire(*frames: ClientFrame) -> bytes:
    """Messages as they lie on the wire, one after the other."""
    return b"".join(
        Frame(Opcode.BINARY, frame.SerializeToString()).serialize(mask=True) for frame in frames
    )


@pytest.fixture
async def stack(running: Running) -> AsyncIterator[Stack]:
    """One gateway, one worker."""
    async with running(busy_poll=ASLEEP) as started:
        yield started


@pytest.fixture
async def direct_stack(running: Running) -> AsyncIterator[Stack]:
    """A worker with an endpoint of its own, and nothing else."""
    async with running(workers=0, gateways=0, direct=1, busy_poll=ASLEEP) as started:
        yield started


async def test_frame_path_spends_once_for_all_when_inputs_come_as_one_bundle(stack: Stack) -> None:
    async with greeted(stack, 1) as (link,):
        with counted(stack) as costs:
            # It rides along, and costs nothing of its own.
            ack = Ack(seq=1, last=True)
            await link.send(inputs=inputs(ROWS, first=2), ack=ack)
            assert await answers(link, N) == 1
    assert costs.envelopes == {"worker": 1, "gateway": 1}
    assert costs.items == {"worker": 1, "gateway": 1}
    assert costs.parses == {"ClientFrame": 2, "Envelope": 2}
    assert costs.socket_writes == 1
    assert costs.tasks == []
    assert costs.callbacks == {"Links._send_ready": 1, "Engine._turn": 1}


async def test_frame_path_bundles_when_inputs_come_in_frames_of_their_own(stack: Stack) -> None:
    async with greeted(stack, 1) as (link,):
        with counted(stack) as costs:
            frames = [ClientFrame(inputs=[item]) for item in inputs(ROWS, first=2)]
            link.socket.transport.write(wire(*frames))
            assert await answers(link, N) == 1
    assert costs.envelopes == {"worker": 1, "gateway": 1}
    assert costs.items == {"worker": 1, "gateway": 1}
    assert costs.parses == {"ClientFrame": 2, "Envelope": 2}
    assert costs.socket_writes == 1
    assert costs.tasks == []


async def test_frame_path_shares_envelopes_when_many_sessions_send_at_once(stack: Stack) -> None:
    async with greeted(stack, 8) as links:
        with counted(stack) as costs:
            for link, row in zip(links, ROWS, strict=False):
                link.socket.transport.write(
                    wire(ClientFrame(inputs=inputs(row[np.newaxis], first=2)))
                )
            for link in links:
                assert await answers(link, 1) == 1
    assert costs.envelopes == {"worker": 1, "gateway": 1}
    assert costs.items == {"worker": 8, "gateway": 8}
    assert costs.parses == {"ClientFrame": 16, "Envelope": 2}
    assert costs.socket_writes == 8
    assert costs.tasks == []


async def test_frame_path_parses_no_frame_when_it_is_large(stack: Stack) -> None:
    async with greeted(stack, 1) as (link,):
        with counted(stack) as costs:
            await link.send(inputs=inputs(LARGE_ROWS, first=2))
            assert await answers(link, 1) == 1
    assert costs.envelopes == {"worker": 1, "gateway": 1}
    # Of an envelope and its item, only what is beside the frame.
    assert costs.parses == {"Envelope": 2, "ToWorker": 1, "ToGateway": 1, "Payload": 1}
    assert costs.tasks == []


async def test_frame_path_makes_no_tasks_when_a_stream_goes_on(stack: Stack) -> None:
    async with greeted(stack, 1) as (link,):
        with counted(stack) as costs:
            for turn in range(50):
                await link.send(inputs=inputs(ROWS, first=2 + turn * N))
                await answers(link, N)
    assert costs.tasks == []
    assert costs.socket_writes == 50
    assert costs.envelopes == {"worker": 50, "gateway": 50}


async def test_direct_path_sends_nothing_to_the_broker_when_inputs_come_as_one_bundle(
    direct_stack: Stack,
) -> None:
    async with greeted(direct_stack, 1) as (link,):
        with counted(direct_stack) as costs:
            await link.send(inputs=inputs(ROWS, first=2), ack=Ack(seq=1, last=True))
            assert await answers(link, N) == 1
    assert costs.envelopes == {}
    assert costs.parses == {"ClientFrame": 1}
    assert costs.socket_writes == 1
    assert costs.tasks == []
    assert costs.callbacks == {"Engine._turn": 1}


async def test_direct_path_shares_a_batch_when_many_sessions_send_at_once(
    direct_stack: Stack,
) -> None:
    async with greeted(direct_stack, 8) as links:
        with counted(direct_stack) as costs:
            for link, row in zip(links, ROWS, strict=False):
                link.socket.transport.write(
                    wire(ClientFrame(inputs=inputs(row[np.newaxis], first=2)))
                )
            for link in links:
                assert await answers(link, 1) == 1
    assert costs.envelopes == {}
    assert costs.parses == {"ClientFrame": 8}
    assert costs.socket_writes == 8
    assert costs.tasks == []
    assert costs.callbacks == {"Engine._turn": 1}


async def test_direct_path_makes_no_tasks_when_a_stream_goes_on(direct_stack: Stack) -> None:
    async with greeted(direct_stack, 1) as (link,):
        with counted(direct_stack) as costs:
            for turn in range(50):
                await link.send(inputs=inputs(ROWS, first=2 + turn * N))
                await answers(link, N)
    assert costs.tasks == []
    assert costs.envelopes == {}
    assert costs.socket_writes == 50
    assert costs.callbacks["Engine._turn"] == 50


async def test_direct_path_parses_no_frame_when_it_is_large(direct_stack: Stack) -> None:
    async with greeted(direct_stack, 1) as (link,):
        with counted(direct_stack) as costs:
            await link.send(inputs=inputs(LARGE_ROWS, first=2))
            assert await answers(link, 1) == 1
    assert costs.envelopes == {}
    assert costs.parses == {"Payload": 1}
    assert costs.tasks == []
