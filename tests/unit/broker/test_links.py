"""When a peer counts as gone, and when what the broker says of it is not believed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from broker.links import Links
from broker.memory import MemoryBroker, MemoryHub
from protos.dc.internal.v1.envelope_pb2 import ToWorker
from tests.support.conditions import until


class Owner:
    """Remembers what it is told; shares sessions with everybody."""

    def __init__(self) -> None:
        self.received: list[ToWorker] = []
        self.gaps: list[str] = []
        self.lost: list[str] = []

    def receive(self, peer: str, items: Sequence[ToWorker]) -> None:
        self.received.extend(items)

    def gap(self, peer: str) -> None:
        self.gaps.append(peer)

    def gone(self, peer: str, reason: str) -> None:
        self.lost.append(peer)

    def shares(self, peer: str) -> bool:
        return True


def links_of(
    name: str, hub: MemoryHub, owner: Owner, heard: Callable[[int], None] | None = None
) -> Links:
    return Links(
        MemoryBroker(hub),
        name=name,
        inbox=f"in.{name}",
        outbox=lambda peer: f"in.{peer}",
        undelivered=lambda peer: f"undelivered.{name}.{peer}",
        owner=owner,
        silence_s=30,
        heard=heard,
    )


@pytest.fixture
def hub() -> MemoryHub:
    return MemoryHub()


@pytest.fixture
async def owner(hub: MemoryHub) -> AsyncIterator[Owner]:
    """Of the links `a`, which have sent to `b`."""
    owner, other = Owner(), Owner()
    a, b = links_of("a", hub, owner), links_of("b", hub, other)
    await a.open()
    await b.open()
    running = [asyncio.create_task(links.run()) for links in (a, b)]
    a.send("b", ToWorker(session="s"))
    await until(lambda: other.received)
    yield owner
    for task in running:
        task.cancel()
    await asyncio.wait(running)


def nobody_listens(hub: MemoryHub) -> None:
    """What NATS says to `a` of an envelope to `b`."""
    hub.route(hub._brokers[0], "nobody", b"", "undelivered.a.b")


async def test_peer_is_gone_when_nobody_listens(hub: MemoryHub, owner: Owner) -> None:
    nobody_listens(hub)
    await until(lambda: owner.lost == ["b"])


async def test_peer_is_kept_when_nobody_listens_before_the_reconnect_is_told(
    hub: MemoryHub, owner: Owner
) -> None:
    broker = hub._brokers[0]
    received = broker.received
    broker.suspend()
    # A restarted NATS answers what is sent while the subscriptions of others are not back yet, and
    # nats-py tells of the reconnect only after that.
    nobody_listens(hub)
    await until(lambda: broker.received > received)
    broker.resume()
    nobody_listens(hub)
    await until(lambda: broker.received > received + 1)
    assert owner.lost == []


async def test_links_tell_how_much_came_together_when_it_came_over_the_broker(
    hub: MemoryHub,
) -> None:
    owner, near = Owner(), Owner()
    heard: list[int] = []
    a, b = links_of("a", hub, owner, heard.append), links_of("b", hub, Owner())
    c = links_of("c", hub, near)
    a.join(c)
    for links in (a, b, c):
        await links.open()
    c.send("a", ToWorker(session="near"))
    assert [item.session for item in owner.received] == ["near"]
    b.send("a", ToWorker(session="far"))
    await until(lambda: heard)
    for _ in range(3):
        b.send("a", ToWorker(session="far"))
    await until(lambda: len(heard) > 1)
    assert heard == [1, 3]
