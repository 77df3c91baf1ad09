"""What every link between a gateway and a worker keeps: over NATS, and inside one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

import pytest

from broker.envelopes import Item
from broker.links import Links
from broker.memory import MemoryBroker, MemoryHub
from broker.nats import connect
from broker.port import Broker
from foundation.settings import BrokerSettings
from protos.dc.internal.v1.envelope_pb2 import ToGateway, ToWorker
from tests.support.conditions import until
from tests.support.servers import NatsServer


class Owner:
    """One end: keeps what comes, and does with it what a test says."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.items: list[Item] = []
        self.peers: list[str] = []
        self.told: list[str] = []
        self.then: Callable[[Item], None] = lambda _item: None
        self.links: Links

    def receive(self, peer: str, items: Sequence[Item]) -> None:
        self.peers.append(peer)
        for item in items:
            self.items.append(item)
            self.then(item)

    def gap(self, peer: str) -> None:
        self.told.append(f"gap {peer}")

    def gone(self, peer: str, reason: str) -> None:
        self.told.append(f"gone {peer}")

    def shares(self, peer: str) -> bool:
        return True

    @property
    def numbers(self) -> list[int]:
        return [item.epoch for item in self.items]


Pair = tuple[Owner, Owner]


@pytest.fixture(params=["near", "memory", "nats"])
async def pair(request: pytest.FixtureRequest, nats_server: NatsServer) -> AsyncIterator[Pair]:
    """A gateway and a worker that have not met."""
    hub = MemoryHub()
    gateway, worker = Owner("gateway"), Owner("worker")
    brokers: list[Broker] = []
    running = []
    for owner in (gateway, worker):
        if request.param == "nats":
            settings = BrokerSettings(nats_url=nats_server.url)
            broker: Broker = await connect(settings, name=owner.name)
        else:
            broker = MemoryBroker(hub)
        brokers.append(broker)
        owner.links = Links(
            broker,
            name=owner.name,
            inbox=f"links.{owner.name}.in",
            outbox=lambda peer: f"links.{peer}.in",
            undelivered=lambda peer, name=owner.name: f"links.{name}.undelivered.{peer}",  # type: ignore[misc]
            owner=owner,
            silence_s=30,
        )
        await owner.links.open()
        running.append(asyncio.create_task(owner.links.run()))
    if request.param == "near":
        gateway.links.join(worker.links)
    yield gateway, worker
    for task in running:
        task.cancel()
    await asyncio.wait(running)
    for broker in brokers:
        await broker.close()


async def test_items_arrive_whole_and_in_order(pair: Pair) -> None:
    gateway, worker = pair
    for number in range(100):
        gateway.links.send("worker", ToWorker(session="s", epoch=number, frame=b"x" * number))
    await until(lambda: len(worker.items) == 100)
    assert worker.numbers == list(range(100))
    assert [len(item.frame) for item in worker.items] == list(range(100))
    assert set(worker.peers) == {"gateway"}
    assert gateway.told == worker.told == []


async def test_nobody_is_called_back_from_inside_a_call_of_their_own(pair: Pair) -> None:
    gateway, worker = pair
    at_work: list[Owner] = []
    surprises: list[str] = []

    def work(owner: Owner, item: Item) -> None:
        if owner in at_work:
            surprises.append(owner.name)
        at_work.append(owner)
        if item.epoch < 20:
            for number in (item.epoch + 1, 100):
                if owner is worker:
                    worker.links.send("gateway", ToGateway(session="s", epoch=number))
                else:
                    gateway.links.send("worker", ToWorker(session="s", epoch=number))
        at_work.remove(owner)

    for owner in pair:
        owner.then = partial(work, owner)
    work(gateway, ToGateway(session="s", epoch=0))
    await until(lambda: len(worker.items) + len(gateway.items) == 40)
    # Each in order, though some went over at once and some waited.
    assert worker.numbers == [number for odd in range(1, 21, 2) for number in (odd, 100)]
    assert gateway.numbers == [number for even in range(2, 21, 2) for number in (even, 100)]
    assert surprises == []


async def test_links_are_empty_when_they_were_flushed(pair: Pair) -> None:
    gateway, worker = pair
    for number in range(10):
        gateway.links.send("worker", ToWorker(session="s", epoch=number))
    await gateway.links.flush()
    gateway.links.send("worker", ToWorker(session="s", epoch=10))
    await until(lambda: len(worker.items) == 11)
    assert worker.numbers == list(range(11))


async def test_link_goes_on_and_its_sender_too_when_the_receiver_fails(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    gateway, worker = pair

    def fail(item: Item) -> None:
        if item.epoch == 1:
            raise RuntimeError("over this one")

    worker.then = fail
    gateway.links.send("worker", ToWorker(session="s", epoch=1))
    await until(lambda: worker.items)
    gateway.links.send("worker", ToWorker(session="s", epoch=2))
    await until(lambda: len(worker.items) == 2)
    assert "over this one" in caplog.text
