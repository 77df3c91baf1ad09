"""NATS goes away and comes back: what is promised of the broker then."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator

import pytest

from broker import Broker, Delivery
from broker.memory import MemoryBroker, MemoryHub
from broker.nats import NatsBroker, connect
from broker.nats import client as nats_client
from foundation.errors import InvalidInput, Unavailable
from foundation.settings import BrokerSettings
from tests.support.conditions import until
from tests.support.servers import NatsServer, free_port


class Outage:
    """A broker whose server can be killed and brought back: real, or its fake."""

    def __init__(self, broker: Broker, server: NatsServer | MemoryHub) -> None:
        self.broker = broker
        self._server = server

    async def begin(self) -> None:
        if isinstance(self._server, MemoryHub):
            self._server.go_down()
        else:
            self._server.kill()
        await until(lambda: not self.broker.connected)

    async def end(self) -> None:
        if isinstance(self._server, MemoryHub):
            self._server.come_back()
        else:
            self._server.start()
        await until(lambda: self.broker.connected)


@pytest.fixture(params=["memory", "nats"])
async def outage(request: pytest.FixtureRequest) -> AsyncIterator[Outage]:
    if request.param == "memory":
        hub = MemoryHub()
        yield Outage(MemoryBroker(hub), hub)
        return
    server: NatsServer = request.getfixturevalue("own_nats_server")
    broker = await connect(BrokerSettings(nats_url=server.url), name="test")
    yield Outage(broker, server)
    await broker.close()


@pytest.fixture
async def own_broker(own_nats_server: NatsServer) -> AsyncIterator[NatsBroker]:
    broker = await connect(BrokerSettings(nats_url=own_nats_server.url), name="test")
    yield broker
    await broker.close()


# ---------------------------------------------------------------- both adapters


async def test_subscriptions_come_back_when_the_server_restarts(outage: Outage) -> None:
    plain: list[bytes] = []
    grouped: list[bytes] = []
    ended: list[bytes] = []
    reconnects: list[bool] = []
    broker = outage.broker
    broker.on_reconnect(lambda: reconnects.append(broker.connected))
    await broker.subscribe("a.>", lambda d: plain.append(d.payload))
    await broker.subscribe("a.b", lambda d: grouped.append(d.payload), queue="q")
    subscription = await broker.subscribe("a.b", lambda d: ended.append(d.payload))
    for round_ in range(3):
        await outage.begin()
        if round_ == 1:
            await subscription.unsubscribe()
        await outage.end()
        await until(lambda r=round_: len(reconnects) == r + 1)
        await broker.publish("a.b", b"%d" % round_)
        await until(lambda r=round_: len(plain) == len(grouped) == r + 1)
    assert plain == grouped == [b"0", b"1", b"2"]
    assert ended == [b"0"]
    assert reconnects == [True, True, True]


async def test_publishes_arrive_in_order_when_made_during_the_outage(outage: Outage) -> None:
    received: list[bytes] = []
    await outage.broker.subscribe("a", lambda d: received.append(d.payload))
    await outage.begin()
    for i in range(100):
        await outage.broker.publish("a", b"%d" % i)
    await outage.end()
    # The first ones after the reconnect queue behind those that waited.
    for i in range(100, 110):
        await outage.broker.publish("a", b"%d" % i)
    await until(lambda: len(received) == 110)
    assert received == [b"%d" % i for i in range(110)]


async def test_subscription_made_during_the_outage_works_when_it_ends(outage: Outage) -> None:
    received: list[bytes] = []
    await outage.begin()
    await outage.broker.subscribe("a", lambda d: received.append(d.payload))
    await outage.end()
    await outage.broker.publish("a", b"x")
    await until(lambda: received)
    await outage.broker.publish("a", b"y")
    await until(lambda: len(received) == 2)
    assert received == [b"x", b"y"]


async def test_publish_is_refused_when_the_buffer_for_the_outage_is_full(outage: Outage) -> None:
    received: list[Delivery] = []
    await outage.broker.subscribe("a", received.append)
    await outage.begin()
    taken, code = await _publish_until_refused(outage.broker, b"x" * 100_000)
    assert code == "broker_disconnected"
    assert nats_client.PENDING_BYTES - 200_000 < taken * 100_000 < nats_client.PENDING_BYTES
    with pytest.raises(Unavailable):
        await outage.broker.flush()
    await outage.end()
    await until(lambda: len(received) == taken)
    await outage.broker.publish("a", b"after")
    await until(lambda: len(received) == taken + 1)
    assert received[-1].payload == b"after"


async def test_request_is_answered_when_the_outage_ends_in_time(outage: Outage) -> None:
    tasks: set[asyncio.Task[None]] = set()

    def handle(delivery: Delivery) -> None:
        answering = asyncio.ensure_future(outage.broker.publish(delivery.reply, b"answer"))
        tasks.add(answering)

    await outage.broker.subscribe("a", handle)
    await outage.begin()
    asking = asyncio.create_task(outage.broker.request("a", b"", timeout_s=30))
    await asyncio.sleep(0)
    await outage.end()
    assert await asking == b"answer"
    await asyncio.gather(*tasks)


async def test_close_returns_when_the_server_is_away(outage: Outage) -> None:
    await outage.broker.subscribe("a", lambda _d: None)
    await outage.begin()
    await outage.broker.publish("a", b"x")
    await outage.broker.close()
    assert not outage.broker.connected


# ---------------------------------------------------------------- NATS alone


async def test_nothing_is_lost_or_reordered_when_killed_under_load_except_at_the_break(
    own_nats_server: NatsServer, own_broker: NatsBroker
) -> None:
    received: list[int] = []
    await own_broker.subscribe("a", lambda d: received.append(int(d.payload)))
    sent = 0

    async def publish(until_reconnects: int, more: int) -> None:
        nonlocal sent
        while own_broker.reconnects < until_reconnects or more:
            more -= own_broker.reconnects >= until_reconnects
            await own_broker.publish("a", b"%d" % sent)
            sent += 1
            await asyncio.sleep(0)

    for kills in range(1, 4):
        publishing = asyncio.create_task(publish(kills, 500))
        await until(lambda n=sent: len(received) and received[-1] > n + 500)
        await asyncio.to_thread(own_nats_server.restart)
        await publishing
        await until(lambda: received[-1] == sent - 1)
    assert received == sorted(set(received))
    # Each break loses at most what was under way in one piece; all else arrives.
    missing = sorted(set(range(sent)) - set(received))
    gaps = sum(1 for a, b in itertools.pairwise([-1, *missing]) if b != a + 1)
    assert gaps <= 3


async def test_flush_fails_at_once_when_the_connection_breaks(
    own_nats_server: NatsServer, own_broker: NatsBroker
) -> None:
    own_nats_server.freeze()
    flushing = asyncio.create_task(own_broker.flush())
    await asyncio.sleep(0)
    own_nats_server.kill()
    with pytest.raises(Unavailable) as caught:
        await flushing
    assert caught.value.code == "broker_disconnected"


async def test_connection_stays_whole_when_flushes_are_cancelled(
    own_nats_server: NatsServer, own_broker: NatsBroker
) -> None:
    received: list[bytes] = []
    await own_broker.subscribe("a", lambda d: received.append(d.payload))
    own_nats_server.freeze()
    for _ in range(5):
        flushing = asyncio.create_task(own_broker.flush())
        await asyncio.sleep(0)
        flushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flushing
    own_nats_server.thaw()
    await own_broker.flush()
    await own_broker.publish("a", b"x")
    await until(lambda: received)
    assert own_broker.reconnects == 0


async def test_publish_waits_then_is_refused_when_the_server_reads_nothing(
    own_nats_server: NatsServer, own_broker: NatsBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_client, "ROOM_TIMEOUT_S", 0.2)
    own_nats_server.freeze()
    _, code = await _publish_until_refused(own_broker, b"x" * 1_000_000)
    assert code == "broker_slow"
    own_nats_server.thaw()
    await own_broker.flush()
    await own_broker.publish("a", b"x")


async def _publish_until_refused(broker: Broker, payload: bytes) -> tuple[int, str]:
    for taken in range(1000):
        try:
            await broker.publish("a", payload)
        except Unavailable as error:
            return taken, error.code
    return 1000, "never refused"


async def test_publish_goes_on_when_a_slow_server_reads_again(
    own_nats_server: NatsServer, own_broker: NatsBroker
) -> None:
    received: list[int] = []
    await own_broker.subscribe("a", lambda d: received.append(len(d.payload)))
    own_nats_server.freeze()
    count = 60
    publishing = asyncio.create_task(_publish_many(own_broker, b"x" * 1_000_000, count))
    await until(own_broker._client._room.locked)
    assert not publishing.done()
    own_nats_server.thaw()
    await publishing
    await until(lambda: len(received) == count)


async def _publish_many(broker: NatsBroker, payload: bytes, count: int) -> None:
    for _ in range(count):
        await broker.publish("a", payload)


async def test_cancelled_publish_stops_when_it_waits_for_room(
    own_nats_server: NatsServer, own_broker: NatsBroker
) -> None:
    own_nats_server.freeze()
    publishing = asyncio.create_task(_publish_many(own_broker, b"x" * 1_000_000, 1000))
    await until(own_broker._client._room.locked)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    own_nats_server.thaw()
    await own_broker.flush()


async def test_connection_comes_back_when_the_server_reports_an_error(
    own_broker: NatsBroker,
) -> None:
    received: list[bytes] = []
    await own_broker.subscribe("a", lambda d: received.append(d.payload))
    # Not a command: the server answers -ERR and closes.
    own_broker._client._transport.write(b"NONSENSE\r\n")  # type: ignore[union-attr]
    await until(lambda: own_broker.reconnects == 1)
    await own_broker.publish("a", b"x")
    await until(lambda: received)


async def test_nothing_is_left_running_when_closed(own_nats_server: NatsServer) -> None:
    before = asyncio.all_tasks()
    for outage in (False, True):
        broker = await connect(BrokerSettings(nats_url=own_nats_server.url), name="test")
        await broker.subscribe("a", lambda _d: None)
        if outage:
            own_nats_server.kill()
            await until(lambda b=broker: not b.connected)
        await broker.close()
        assert asyncio.all_tasks() == before


# ---------------------------------------------------------------- connecting


async def test_connect_waits_and_says_so_when_the_server_starts_later(
    own_nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    own_nats_server.kill()
    settings = BrokerSettings(nats_url=own_nats_server.url)
    connecting = asyncio.create_task(connect(settings, name="early"))
    await until(lambda: "waiting for NATS" in caplog.text)
    own_nats_server.start()
    broker = await connecting
    assert broker.connected
    await broker.close()


async def test_connect_fails_naming_the_url_when_nobody_is_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = free_port()
    settings = BrokerSettings(
        nats_url=f"nats://user:secret@127.0.0.1:{port}", connect_timeout_s=0.3
    )
    before = asyncio.all_tasks()
    with caplog.at_level(logging.DEBUG), pytest.raises(Unavailable) as caught:
        await connect(settings, name="lonely")
    assert f"nats://127.0.0.1:{port}" in caught.value.message
    assert "DC_NATS_URL" in caught.value.message
    assert "secret" not in caught.value.message + caplog.text
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("url", ["http://[", "nats://a:b:c", "nats://127.0.0.1:notaport", ""])
async def test_connect_refuses_the_url_when_it_is_malformed(url: str) -> None:
    settings = BrokerSettings.model_construct(nats_url=url, connect_timeout_s=5.0)
    with pytest.raises(InvalidInput) as caught:
        await connect(settings, name="misled")
    assert caught.value.field == "nats_url"
