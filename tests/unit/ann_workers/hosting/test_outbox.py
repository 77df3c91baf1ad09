"""How the outputs of one turn are bundled for the way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ann_workers.hosting.frames import output_frame
from ann_workers.hosting.outbox import Outbox
from ann_workers.hosting.session import HeldSession, KeptOutput, Lane
from ann_workers.session import WorkerMachine
from broker.links import Links
from broker.memory import MemoryBroker, MemoryHub
from protos.dc.internal.v1.envelope_pb2 import ToGateway
from registry.live import Seat, SessionRecord
from tests.support.conditions import until
from tests.support.faulty import FaultyModel


class Gateway:
    """A `LinkOwner` that keeps what comes."""

    def __init__(self) -> None:
        self.items: list[ToGateway] = []

    def receive(self, peer: str, items: Sequence[ToGateway]) -> None:
        self.items.extend(items)

    def gap(self, peer: str) -> None: ...

    def gone(self, peer: str, reason: str) -> None: ...

    def shares(self, peer: str) -> bool:
        return True


def links_of(name: str, hub: MemoryHub, owner: Gateway) -> Links:
    return Links(
        MemoryBroker(hub),
        name=name,
        inbox=f"in.{name}",
        outbox=lambda peer: f"in.{peer}",
        undelivered=lambda peer: f"undelivered.{name}.{peer}",
        owner=owner,
        silence_s=30,
    )


def session_with(outputs: Sequence[int]) -> HeldSession:
    """One that has computed outputs of so many bytes."""
    machine: WorkerMachine[KeptOutput] = WorkerMachine(
        stateful=False, hold=False, window_inputs=64, window_bytes=1 << 24
    )
    lane = Lane(FaultyModel(stateful=False))
    record = SessionRecord("s", "tenant", "digits", 1, "default", stateful=False)
    session = HeldSession(record, epoch=1, lane=lane, machine=machine)
    session.seat, session.attached = Seat(1, "gateway", ""), True
    for seq, size in enumerate(outputs, 1):
        machine.accept(seq)
        frame = output_frame(seq, bytes(size), queue_us=0, compute_us=0)
        machine.computed(seq, 0, True, KeptOutput(seq, 0, True, frame))
    return session


async def test_outputs_leave_apart_when_no_message_holds_them_together() -> None:
    hub = MemoryHub()
    gateway = Gateway()
    there, here = links_of("gateway", hub, gateway), links_of("worker", hub, Gateway())
    await there.open()
    running = asyncio.create_task(here.run())
    outbox = Outbox(here, frame_bytes=1 << 19, may_send=lambda: True)
    outbox.mark(session_with([1000, 1000, 400_000, 1_000_000, 1000]))
    await until(lambda: here.counters.unsent or (gateway.items and gateway.items[-1].next_seq == 6))
    running.cancel()
    await asyncio.wait([running])
    assert here.counters.unsent == 0
    assert [(item.first_seq, item.next_seq) for item in gateway.items] == [(1, 4), (4, 5), (5, 6)]
