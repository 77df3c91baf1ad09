"""How a stream finds its worker, before workers that a test speaks for."""

from __future__ import annotations

from typing import Any

from broker.links import Links
from broker.memory import MemoryBroker
from direct_contact.gateway.hub import Hub
from direct_contact.gateway.stream import Stream
from direct_contact.session import ServerState
from protos.dc.internal.v1.envelope_pb2 import (
    RELEASE_MOVED,
    Attached,
    Released,
    ToGateway,
    ToWorker,
)
from protos.dc.v1.stream_pb2 import ClientFrame, Hello
from registry.live import Attachment, SessionRecord
from tests.support.conditions import until

RECORD = SessionRecord("s", "tenant", "digits", 1, "default", stateful=True)


class Worker:
    """A `LinkOwner` that keeps what it is asked, and answers what a test says."""

    def __init__(self, name: str, broker: MemoryBroker, hub: Hub) -> None:
        self.hub = hub
        self.attaches: list[ToWorker] = []
        self.links = Links(
            broker,
            name=name,
            inbox=f"{name}.in",
            outbox=lambda gateway: f"{gateway}.out",
            undelivered=lambda gateway: f"{name}.undelivered.{gateway}",
            owner=self,
            silence_s=1.0,
        )
        hub.links.join(self.links)

    def receive(self, peer: str, items: Any) -> None:
        self.attaches += [item for item in items if item.HasField("attach")]

    def gap(self, peer: str) -> None: ...

    def gone(self, peer: str, reason: str) -> None: ...

    def shares(self, peer: str) -> bool:
        return True

    async def asked(self) -> ToWorker:
        await until(lambda: bool(self.attaches))
        return self.attaches.pop(0)

    def attached(self, asked: ToWorker, epoch: int) -> None:
        answer = Attached(wanted_seq=1, attempt=asked.attach.attempt)
        self.links.send(
            self.hub.name,
            ToGateway(session="s", epoch=epoch, attachment=1, attached=answer),
        )

    def moved(self, epoch: int, target: str) -> None:
        released = Released(release=RELEASE_MOVED, target=target)
        self.links.send(
            self.hub.name, ToGateway(session="s", epoch=epoch, attachment=1, released=released)
        )


async def test_stream_moves_when_its_worker_lets_go_in_the_turn_in_which_it_attached(
    broker: MemoryBroker, hub: Hub
) -> None:
    first, second = Worker("first", broker, hub), Worker("second", broker, hub)
    stream = Stream(hub, Attachment(RECORD, 1, "token", "first", 1, "", first=True))
    hub.streams["s"] = stream
    stream.messages([ClientFrame(hello=Hello()).SerializeToString()])
    first.attached(await first.asked(), epoch=1)
    first.moved(epoch=1, target="second")
    asked = await second.asked()
    second.attached(asked, epoch=2)
    assert stream.machine.state is ServerState.OPEN
    assert stream.serving.worker == "second"
