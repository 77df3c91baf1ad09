"""The promises of `broker.port`, over the fake and over NATS."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from broker import Blobs, Broker, Delivery
from broker.memory import MemoryBroker, MemoryHub
from broker.nats import connect
from foundation.clock import unix_ms
from foundation.errors import InvalidInput, LimitExceeded, NotFound, Unavailable
from foundation.settings import BrokerSettings
from tests.support.conditions import until
from tests.support.servers import NatsServer

_names = itertools.count()


@dataclass
class Bench:
    """Two brokers that reach each other, and a subject nobody else uses."""

    one: Broker
    two: Broker
    blobs: Blobs
    subject: str


@pytest.fixture(params=["memory", "nats"])
async def bench(request: pytest.FixtureRequest, nats_server: NatsServer) -> AsyncIterator[Bench]:
    subject = f"contract.{next(_names)}"
    one: Broker
    two: Broker
    if request.param == "memory":
        hub = MemoryHub()
        memory = MemoryBroker(hub)
        one, two, blobs = memory, MemoryBroker(hub), memory.blobs("contract")
    else:
        settings = BrokerSettings(nats_url=nats_server.url)
        nats = await connect(settings, name="one")
        one, two, blobs = nats, await connect(settings, name="two"), nats.blobs("contract")
    yield Bench(one, two, blobs, subject)
    await one.close()
    await two.close()


class Inbox:
    """A handler that keeps what came."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []

    def __call__(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)

    @property
    def payloads(self) -> list[bytes]:
        return [delivery.payload for delivery in self.deliveries]

    async def holds(self, count: int) -> None:
        await until(lambda: len(self.deliveries) >= count)


def answering(
    broker: Broker, answer: Callable[[Delivery], bytes]
) -> tuple[Callable[[Delivery], None], set[asyncio.Task[None]]]:
    """A handler that answers requests, and the tasks that publish its answers."""
    tasks: set[asyncio.Task[None]] = set()

    def handle(delivery: Delivery) -> None:
        task = asyncio.ensure_future(_publish(broker, delivery.reply, answer(delivery)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return handle, tasks


def _publish(broker: Broker, subject: str, payload: bytes) -> Awaitable[None]:
    return broker.publish(subject, payload)


# ---------------------------------------------------------------- publish and subscribe


async def test_publish_reaches_every_subscriber_in_order_when_many_are_sent(bench: Bench) -> None:
    here, there = Inbox(), Inbox()
    await bench.one.subscribe(bench.subject, here)
    await bench.two.subscribe(bench.subject, there)
    expected = [b"%d" % i for i in range(500)]
    for payload in expected:
        await bench.one.publish(bench.subject, payload)
    await here.holds(500)
    await there.holds(500)
    assert here.payloads == expected
    assert there.payloads == expected
    first = there.deliveries[0]
    assert (first.subject, first.reply, first.undeliverable) == (bench.subject, "", False)


async def test_publish_carries_any_bytes_when_they_look_like_the_protocol(bench: Bench) -> None:
    inbox = Inbox()
    await bench.two.subscribe(bench.subject, inbox)
    payloads = [b"", b"\r\n", b"MSG a 1 3\r\nxyz\r\nPING\r\n", bytes(range(256)) * 400]
    for payload in payloads:
        await bench.one.publish(bench.subject, payload, reply="some.reply")
    await inbox.holds(len(payloads))
    assert inbox.payloads == payloads
    assert {delivery.reply for delivery in inbox.deliveries} == {"some.reply"}


async def test_publish_carries_the_largest_payload_when_it_is_exactly_the_limit(
    bench: Bench,
) -> None:
    inbox = Inbox()
    await bench.two.subscribe(bench.subject, inbox)
    largest = b"x" * bench.one.max_payload_bytes
    await bench.one.publish(bench.subject, largest)
    await inbox.holds(1)
    assert inbox.payloads == [largest]


async def test_publish_refuses_the_payload_when_it_is_too_large(bench: Bench) -> None:
    with pytest.raises(LimitExceeded) as caught:
        await bench.one.publish(bench.subject, b"x" * (bench.one.max_payload_bytes + 1))
    assert caught.value.code == "payload_too_large"
    assert str(bench.one.max_payload_bytes) in caught.value.message


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB x 0\r\n\r\n", "a\tb"])
async def test_publish_refuses_the_subject_when_it_would_break_the_protocol(
    bench: Bench, subject: str
) -> None:
    with pytest.raises(InvalidInput):
        await bench.one.publish(subject, b"x")
    with pytest.raises(InvalidInput):
        await bench.one.subscribe(subject, Inbox())
    if subject:
        with pytest.raises(InvalidInput):
            await bench.one.publish(bench.subject, b"x", reply=subject)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("{}.a.>", ["{}.a.b", "{}.a.b.c"], ["{}.a", "{}.b.c"]),
        ("{}.*.z", ["{}.a.z", "{}.b.z"], ["{}.z", "{}.a.b.z", "{}.a.y"]),
    ],
)
async def test_subscription_receives_only_what_matches_when_it_has_a_wildcard(
    bench: Bench, pattern: str, matching: list[str], other: list[str]
) -> None:
    inbox, end = Inbox(), Inbox()
    await bench.two.subscribe(pattern.format(bench.subject), inbox)
    await bench.two.subscribe(bench.subject + ".end", end)
    for subject in [*matching, *other, "{}.end"]:
        await bench.one.publish(subject.format(bench.subject), b"x")
    await end.holds(1)
    assert [d.subject for d in inbox.deliveries] == [s.format(bench.subject) for s in matching]


async def test_queue_group_gives_each_message_to_one_member_when_it_has_several(
    bench: Bench,
) -> None:
    members = [Inbox() for _ in range(3)]
    outsider = Inbox()
    for broker, inbox in zip([bench.one, bench.two, bench.two], members, strict=True):
        await broker.subscribe(bench.subject, inbox, queue="workers")
    await bench.two.subscribe(bench.subject, outsider)
    for i in range(300):
        await bench.one.publish(bench.subject, b"%d" % i)
    await outsider.holds(300)
    await until(lambda: sum(len(inbox.deliveries) for inbox in members) == 300)
    assert sorted(int(p) for inbox in members for p in inbox.payloads) == list(range(300))
    assert all(inbox.deliveries for inbox in members)


async def test_subscription_stays_silent_when_it_has_ended(bench: Bench) -> None:
    ended, witness = Inbox(), Inbox()
    subscription = await bench.two.subscribe(bench.subject, ended)
    await bench.two.subscribe(bench.subject, witness)
    await bench.one.publish(bench.subject, b"1")
    await ended.holds(1)
    await subscription.unsubscribe()
    await subscription.unsubscribe()
    await bench.one.publish(bench.subject, b"2")
    await witness.holds(2)
    assert ended.payloads == [b"1"]


async def test_subscription_goes_on_when_its_handler_raises(bench: Bench) -> None:
    inbox = Inbox()

    def faulty(delivery: Delivery) -> None:
        inbox(delivery)
        raise ValueError(delivery.payload)

    await bench.two.subscribe(bench.subject, faulty)
    for i in range(3):
        await bench.one.publish(bench.subject, b"%d" % i)
    await inbox.holds(3)
    assert inbox.payloads == [b"0", b"1", b"2"]
    assert bench.two.connected


# ---------------------------------------------------------------- nobody listens


async def test_publisher_is_told_when_nobody_listens(bench: Bench) -> None:
    returned = Inbox()
    await bench.one.subscribe(bench.subject + ".undelivered.>", returned)
    await bench.one.publish(
        bench.subject + ".nobody", b"lost", reply=bench.subject + ".undelivered.worker-1"
    )
    await returned.holds(1)
    expected = Delivery(bench.subject + ".undelivered.worker-1", b"", "", undeliverable=True)
    assert returned.deliveries == [expected]


async def test_publisher_hears_nothing_when_somebody_listens(bench: Bench) -> None:
    returned, inbox = Inbox(), Inbox()
    await bench.one.subscribe(bench.subject + ".undelivered", returned)
    await bench.two.subscribe(bench.subject, inbox)
    await bench.one.publish(bench.subject, b"1", reply=bench.subject + ".undelivered")
    await inbox.holds(1)
    await bench.one.publish(bench.subject + ".nobody", b"2", reply=bench.subject + ".undelivered")
    await returned.holds(1)
    assert len(returned.deliveries) == 1
    assert inbox.deliveries[0].reply == bench.subject + ".undelivered"


# ---------------------------------------------------------------- requests


async def test_request_returns_the_answer_when_there_is_a_responder(bench: Bench) -> None:
    handle, tasks = answering(bench.two, lambda delivery: delivery.payload.upper())
    await bench.two.subscribe(bench.subject, handle)
    answers = await asyncio.gather(
        *(bench.one.request(bench.subject, b"a%d" % i, timeout_s=10) for i in range(50))
    )
    assert answers == [b"A%d" % i for i in range(50)]
    await asyncio.gather(*tasks)


async def test_request_fails_at_once_when_nobody_listens(bench: Bench) -> None:
    with pytest.raises(Unavailable) as caught:
        await bench.one.request(bench.subject, b"", timeout_s=60)
    assert caught.value.code == "no_responders"
    assert bench.subject in caught.value.message


async def test_request_times_out_when_the_responder_is_silent(bench: Bench) -> None:
    inbox = Inbox()
    await bench.two.subscribe(bench.subject, inbox)
    with pytest.raises(Unavailable) as caught:
        await bench.one.request(bench.subject, b"", timeout_s=0.05)
    assert caught.value.code == "broker_timeout"
    await inbox.holds(1)
    # A late answer is dropped, and the next request works.
    await bench.two.publish(inbox.deliveries[0].reply, b"late")
    with pytest.raises(Unavailable):
        await bench.one.request(bench.subject, b"", timeout_s=0.05)


async def test_gather_returns_one_answer_per_copy_when_a_group_answers(bench: Bench) -> None:
    asked: list[str] = []

    def member(name: str) -> Callable[[Delivery], bytes]:
        def answer(_delivery: Delivery) -> bytes:
            asked.append(name)
            return name.encode()

        return answer

    all_tasks = []
    for name in ("w1", "w2", "w3"):
        handle, tasks = answering(bench.two, member(name))
        all_tasks.append(tasks)
        await bench.two.subscribe(bench.subject, handle, queue="offers")
    answers = await bench.one.gather(bench.subject, b"?", copies=2, timeout_s=10)
    assert sorted(answers) == sorted(name.encode() for name in asked)
    assert len(answers) == 2
    await asyncio.gather(*(task for tasks in all_tasks for task in tasks))


async def test_gather_returns_nothing_at_once_when_nobody_listens(bench: Bench) -> None:
    assert await bench.one.gather(bench.subject, b"?", copies=2, timeout_s=60) == []


async def test_gather_returns_what_came_when_one_member_is_silent(bench: Bench) -> None:
    came = itertools.count()

    async def answer_first(delivery: Delivery) -> None:
        if next(came) == 0:
            await bench.two.publish(delivery.reply, b"first")

    tasks: set[asyncio.Task[None]] = set()
    await bench.two.subscribe(
        bench.subject, lambda d: tasks.add(asyncio.ensure_future(answer_first(d)))
    )
    answers = await bench.one.gather(bench.subject, b"?", copies=2, timeout_s=0.1)
    assert answers == [b"first"]
    await asyncio.gather(*tasks)


async def test_request_leaves_nothing_behind_when_cancelled(bench: Bench) -> None:
    inbox = Inbox()
    await bench.two.subscribe(bench.subject, inbox)
    asking = asyncio.create_task(bench.one.request(bench.subject, b"", timeout_s=60))
    await inbox.holds(1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await bench.two.publish(inbox.deliveries[0].reply, b"late")
    await bench.two.flush()
    await bench.one.flush()
    assert bench.one.connected


# ---------------------------------------------------------------- register, flush, close


async def test_registered_endpoint_answers_until_withdrawn_when_asked(bench: Bench) -> None:
    handle, tasks = answering(bench.two, lambda _delivery: b"offer")
    subscription = await bench.two.register(
        service="ann-worker",
        version="0.1.0",
        description="computes",
        metadata={"pool": "default"},
        endpoint="offer",
        subject=bench.subject,
        queue="offers",
        handler=handle,
    )
    assert await bench.one.request(bench.subject, b"?", timeout_s=10) == b"offer"
    await asyncio.gather(*tasks)
    await subscription.unsubscribe()
    await subscription.unsubscribe()
    await bench.two.flush()
    assert await bench.one.gather(bench.subject, b"?", copies=1, timeout_s=60) == []


async def test_close_sends_what_was_published_when_called_right_after(bench: Bench) -> None:
    inbox = Inbox()
    await bench.two.subscribe(bench.subject, inbox)
    for i in range(100):
        await bench.one.publish(bench.subject, b"%d" % i)
    await bench.one.close()
    await bench.one.close()
    await inbox.holds(100)
    assert not bench.one.connected


async def test_closed_broker_refuses_everything_when_used(bench: Bench) -> None:
    await bench.one.close()
    with pytest.raises(Unavailable):
        await bench.one.publish(bench.subject, b"")
    with pytest.raises(Unavailable):
        await bench.one.subscribe(bench.subject, Inbox())
    with pytest.raises(Unavailable):
        await bench.one.flush()
    with pytest.raises(Unavailable):
        await bench.one.request(bench.subject, b"", timeout_s=1)


# ---------------------------------------------------------------- blobs


@pytest.mark.parametrize("size", [0, 1, 300_000, 3_000_000])
async def test_blob_comes_back_unchanged_when_stored(bench: Bench, size: int) -> None:
    data = bytes(i % 251 for i in range(size))
    await bench.blobs.put("blob", data)
    assert await bench.blobs.get("blob") == data
    await bench.blobs.put("blob", data)
    assert await bench.blobs.get("blob") == data


async def test_blob_is_replaced_whole_when_put_again(bench: Bench) -> None:
    await bench.blobs.put("again", b"a" * 700_000)
    await bench.blobs.put("again", b"b")
    assert await bench.blobs.get("again") == b"b"


async def test_blob_is_not_found_when_absent_or_deleted(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.blobs.get("absent")
    await bench.blobs.delete("absent")
    await bench.blobs.put("present", b"x")
    await bench.blobs.delete("present")
    with pytest.raises(NotFound):
        await bench.blobs.get("present")
    await bench.blobs.put("present", b"y")
    assert await bench.blobs.get("present") == b"y"


async def test_blobs_are_listed_by_their_last_put_or_renewal(bench: Bench) -> None:
    blobs = bench.blobs
    for name in ("one", "two", "three", "gone"):
        await blobs.put(name, name.encode())
    await blobs.delete("gone")
    await blobs.put("one", b"one")
    await blobs.renew("two")
    listed, after = await blobs.entries(after=0, limit=100)
    names = [entry.name for entry in listed]
    assert [name for name in names if name in ("one", "two", "three", "gone")] == [
        "three",
        "one",
        "two",
    ]
    assert after == 0
    assert abs(listed[-1].renewed_ms - unix_ms()) < 60_000
    assert await blobs.get("one") == b"one"
    in_pages: list[str] = []
    while True:
        page, after = await blobs.entries(after=after, limit=2)
        in_pages += [entry.name for entry in page]
        if not after:
            break
    assert in_pages == names
    with pytest.raises(NotFound):
        await blobs.renew("absent")


async def test_blob_is_deleted_as_listed_unless_it_was_renewed_since(bench: Bench) -> None:
    blobs = bench.blobs
    for name in ("put", "renewed", "left"):
        await blobs.put(name, b"x" * 300_000)
    listed = {entry.name: entry for entry in (await blobs.entries(after=0, limit=100))[0]}
    await blobs.put("put", b"x" * 300_000)
    await blobs.renew("renewed")
    deleted = {name: await blobs.delete_unchanged(listed[name]) for name in listed}
    assert (deleted["put"], deleted["renewed"], deleted["left"]) == (False, False, True)
    assert not await blobs.delete_unchanged(listed["left"])
    for name in ("put", "renewed"):
        assert await blobs.get(name) == b"x" * 300_000
    with pytest.raises(NotFound):
        await blobs.get("left")
    await blobs.put("left", b"again")
    assert await blobs.get("left") == b"again"


async def test_blob_is_there_when_many_put_it_at_once(bench: Bench) -> None:
    for _ in range(3):
        await asyncio.gather(*(bench.blobs.put("popular", b"same") for _ in range(32)))
        assert await bench.blobs.get("popular") == b"same"


async def test_one_wins_whole_when_a_blob_is_put_and_deleted_at_once(bench: Bench) -> None:
    blobs = bench.blobs
    for turn in range(20):
        await blobs.put("contended", b"same")
        [listed] = [
            entry
            for entry in (await blobs.entries(after=0, limit=100))[0]
            if entry.name == "contended"
        ]
        deletes = (blobs.delete_unchanged(listed) for _ in range(2))
        _, *deleted = await asyncio.gather(blobs.put("contended", b"same"), *deletes)
        assert sum(deleted) <= 1, turn
        # Whoever came first, what was put is there.
        assert await blobs.get("contended") == b"same"


async def test_post_keeps_the_order_when_it_follows_publish(bench: Bench) -> None:
    got: list[bytes] = []
    await bench.two.subscribe(bench.subject, lambda delivery: got.append(delivery.payload))
    await bench.one.publish(bench.subject, b"1")
    await bench.one.flush()
    assert bench.one.post(bench.subject, [b"2"])
    assert bench.one.post(bench.subject, [b"", b"3"], reply="some.reply")
    await until(lambda: len(got) == 3)
    assert got == [b"1", b"2", b"3"]


async def test_post_refuses_when_the_payload_is_too_large(bench: Bench) -> None:
    assert not bench.one.post(bench.subject, [b"x", b"x" * bench.one.max_payload_bytes])


async def test_post_refuses_when_the_broker_is_closed(bench: Bench) -> None:
    await bench.one.close()
    assert not bench.one.post(bench.subject, [b"x"])
