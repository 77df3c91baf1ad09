"""The broker in memory: the verified fake of the contract suite, for tests within one process."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from broker.port import BlobEntry, Delivery, Handler, Subscription
from foundation.clock import unix_ms
from foundation.errors import InvalidInput, LimitExceeded, NotFound, Unavailable

logger = logging.getLogger(__name__)

MAX_PAYLOAD_BYTES = 1024 * 1024
PENDING_BYTES = 8 * 1024 * 1024


class MemoryHub:
    """What NATS is to its clients: brokers made with the same hub reach each other.

    Args:
        choose: picks the member of a queue group; by default at random.
    """

    def __init__(self, *, choose: random.Random | None = None) -> None:
        self.lose: Callable[[str, bytes], bool] = lambda _subject, _payload: False
        """Set by a test: True for a message that is to be lost on the way."""
        self.blobs: dict[tuple[str, str], tuple[BlobEntry, bytes]] = {}
        self.blob_revisions = itertools.count(1)
        self._subscriptions: list[_Subscribed] = []
        self._brokers: list[MemoryBroker] = []
        self._random = choose or random.Random()  # noqa: S311  # spreading load is no secret
        self._up = True

    @property
    def up(self) -> bool:
        """Whether brokers are connected to it."""
        return self._up

    def go_down(self) -> None:
        """As if the server was killed: what is under way and not yet delivered is lost."""
        self._up = False
        for subscription in self._subscriptions:
            subscription.arrived.clear()
        for broker in list(self._brokers):
            broker.suspend()

    def come_back(self) -> None:
        """As if the server was started again: every broker reconnects."""
        self._up = True
        for broker in list(self._brokers):
            broker.resume()

    def join(self, broker: MemoryBroker) -> None:
        """Called by a broker as it is made."""
        self._brokers.append(broker)

    def leave(self, broker: MemoryBroker) -> None:
        """Called by a broker as it closes."""
        self._brokers.remove(broker)
        self._subscriptions = [s for s in self._subscriptions if s.broker is not broker]

    def add(self, subscription: _Subscribed) -> None:
        """Called by a broker to subscribe."""
        self._subscriptions.append(subscription)

    def remove(self, subscription: _Subscribed) -> None:
        """Called by a broker to unsubscribe."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def route(self, sender: MemoryBroker, subject: str, payload: bytes, reply: str) -> None:
        """Give one message to everybody who wants it, or tell the sender that nobody does."""
        if self.lose(subject, payload):
            return
        groups: dict[str, list[_Subscribed]] = {}
        wanted = False
        for subscription in self._subscriptions:
            if not _matches(subscription.subject, subject):
                continue
            wanted = True
            if subscription.queue:
                groups.setdefault(subscription.queue, []).append(subscription)
            else:
                subscription.deliver(Delivery(subject, payload, reply))
        for members in groups.values():
            self._random.choice(members).deliver(Delivery(subject, payload, reply))
        if reply and not wanted:
            for subscription in self._subscriptions:
                if subscription.broker is sender and _matches(subscription.subject, reply):
                    subscription.deliver(Delivery(reply, b"", "", undeliverable=True))
                    return


class MemoryBroker:
    """A `Broker` on a `MemoryHub`. Deliveries come in later turns of the event loop, as real ones.

    The counters are those of `NatsBroker`.
    """

    def __init__(self, hub: MemoryHub) -> None:
        self.published = 0
        self.received = 0
        self.reconnects = 0
        self.dropped = 0
        self.failed = 0
        self._hub = hub
        self._closed = False
        self._waiting: deque[tuple[str, bytes, str]] = deque()
        self._waiting_bytes = 0
        self._disconnected: list[Callable[[], None]] = []
        self._reconnected: list[Callable[[], None]] = []
        self._inboxes = itertools.count(1)
        hub.join(self)

    @property
    def max_payload_bytes(self) -> int:
        """As NATS has it by default."""
        return MAX_PAYLOAD_BYTES

    @property
    def connected(self) -> bool:
        """Whether the hub is up and this broker is not closed."""
        return self._hub.up and not self._closed

    async def subscribe(self, subject: str, handler: Handler, *, queue: str = "") -> Subscription:
        """See `Broker.subscribe`."""
        self._require_open()
        _check(subject)
        subscription = _Subscribed(self._hub, self, subject, queue, handler)
        self._hub.add(subscription)
        return subscription

    def post(self, subject: str, parts: Sequence[bytes], *, reply: str = "") -> bool:
        """See `Broker.post`."""
        payload = b"".join(parts)
        if not self.connected or self._waiting or len(payload) > MAX_PAYLOAD_BYTES:
            return False
        self.published += 1
        self._hub.route(self, subject, payload, reply)
        return True

    async def publish(self, subject: str, payload: bytes, *, reply: str = "") -> None:
        """See `Broker.publish`."""
        self._require_open()
        _check(subject)
        if reply:
            _check(reply)
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise LimitExceeded(
                f"payload of {len(payload)} bytes is larger than the broker's limit of "
                f"{MAX_PAYLOAD_BYTES} bytes",
                code="payload_too_large",
            )
        if self._hub.up:
            self._hub.route(self, subject, payload, reply)
        else:
            if self._waiting_bytes + len(payload) > PENDING_BYTES:
                raise Unavailable(
                    f"disconnected and the buffer of {PENDING_BYTES} bytes for that is full",
                    code="broker_disconnected",
                )
            self._waiting.append((subject, payload, reply))
            self._waiting_bytes += len(payload)
        self.published += 1

    async def request(self, subject: str, payload: bytes, *, timeout_s: float) -> bytes:
        """See `Broker.request`."""
        answers = await self._ask(subject, payload, 1, timeout_s)
        if not answers:
            raise Unavailable(
                f"no answer on {subject} within {timeout_s:g} s", code="broker_timeout"
            )
        if answers[0].undeliverable:
            raise Unavailable(f"nobody listens on {subject}", code="no_responders")
        return answers[0].payload

    async def gather(
        self, subject: str, payload: bytes, *, copies: int, timeout_s: float
    ) -> list[bytes]:
        """See `Broker.gather`."""
        answers = await self._ask(subject, payload, copies, timeout_s)
        return [answer.payload for answer in answers if not answer.undeliverable]

    async def flush(self) -> None:
        """See `Broker.flush`."""
        if not self.connected:
            raise Unavailable("disconnected", code="broker_disconnected")

    async def register(
        self,
        *,
        service: str,  # noqa: ARG002  # there are no tools that would show it
        version: str,  # noqa: ARG002
        description: str,  # noqa: ARG002
        metadata: Mapping[str, str],  # noqa: ARG002
        endpoint: str,  # noqa: ARG002
        subject: str,
        queue: str,
        handler: Handler,
    ) -> Subscription:
        """Only subscribes."""
        return await self.subscribe(subject, handler, queue=queue)

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        """See `Broker.on_disconnect`."""
        self._disconnected.append(callback)

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """See `Broker.on_reconnect`."""
        self._reconnected.append(callback)

    def blobs(self, bucket: str) -> MemoryBlobs:
        """Blobs that live as long as the hub."""
        return MemoryBlobs(self._hub, bucket)

    async def close(self) -> None:
        """See `Broker.close`."""
        if not self._closed:
            self._closed = True
            self._hub.leave(self)

    def suspend(self) -> None:
        """Called by the hub when it goes down: tell."""
        for callback in self._disconnected:
            callback()

    def resume(self) -> None:
        """Called by the hub when it is back: send what waited, then tell."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, deque(), 0
        for subject, payload, reply in waiting:
            self._hub.route(self, subject, payload, reply)
        self.reconnects += 1
        for callback in self._reconnected:
            callback()

    async def _ask(
        self, subject: str, payload: bytes, copies: int, timeout_s: float
    ) -> list[Delivery]:
        inbox = f"_INBOX.{id(self)}.{next(self._inboxes)}"
        arrived: list[Delivery] = []
        complete = asyncio.get_running_loop().create_future()

        def receive(delivery: Delivery) -> None:
            arrived.append(delivery)
            if len(arrived) == copies and not complete.done():
                complete.set_result(None)

        subscription = await self.subscribe(inbox, receive)
        try:
            async with asyncio.timeout(timeout_s):
                for _ in range(copies):
                    await self.publish(subject, payload, reply=inbox)
                await complete
        except TimeoutError:
            pass
        finally:
            await subscription.unsubscribe()
        return arrived

    def _require_open(self) -> None:
        if self._closed:
            raise Unavailable("the broker is closed", code="broker_closed")


class _Subscribed:
    def __init__(
        self, hub: MemoryHub, broker: MemoryBroker, subject: str, queue: str, handler: Handler
    ) -> None:
        self.broker = broker
        self.subject = subject
        self.queue = queue
        self.arrived: deque[Delivery] = deque()
        self._hub = hub
        self._handler: Handler | None = handler

    def deliver(self, delivery: Delivery) -> None:
        self.arrived.append(delivery)
        asyncio.get_running_loop().call_soon(self._handle)

    def _handle(self) -> None:
        if not self.arrived:
            return
        delivery = self.arrived.popleft()
        if self._handler is None or not self.broker.connected:
            return
        self.broker.received += 1
        try:
            self._handler(delivery)
        except Exception:
            self.broker.failed += 1
            logger.exception("the handler of %s failed", self.subject)

    async def unsubscribe(self) -> None:
        self._handler = None
        self._hub.remove(self)


class MemoryBlobs:
    """A `Blobs` on a `MemoryHub`."""

    def __init__(self, hub: MemoryHub, bucket: str) -> None:
        self._hub = hub
        self._bucket = bucket

    async def put(self, name: str, data: bytes) -> None:
        """See `Blobs.put`."""
        entry = BlobEntry(name, next(self._hub.blob_revisions), unix_ms())
        self._hub.blobs[self._bucket, name] = entry, bytes(data)

    async def get(self, name: str) -> bytes:
        """See `Blobs.get`."""
        try:
            return self._hub.blobs[self._bucket, name][1]
        except KeyError:
            raise NotFound(f"no blob {name} in {self._bucket}") from None

    async def renew(self, name: str) -> None:
        """See `Blobs.renew`."""
        await self.put(name, await self.get(name))

    async def entries(self, *, after: int, limit: int) -> tuple[list[BlobEntry], int]:
        """See `Blobs.entries`."""
        entries = (
            entry for (bucket, _), (entry, _) in self._hub.blobs.items() if bucket == self._bucket
        )
        later = [entry for entry in entries if entry.revision > after]
        page = sorted(later, key=lambda entry: entry.revision)[:limit]
        return page, page[-1].revision if len(later) > limit else 0

    async def delete_unchanged(self, entry: BlobEntry) -> bool:
        """See `Blobs.delete_unchanged`."""
        there = self._hub.blobs.get((self._bucket, entry.name))
        if there is None or there[0] != entry:
            return False
        await self.delete(entry.name)
        return True

    async def delete(self, name: str) -> None:
        """See `Blobs.delete`."""
        self._hub.blobs.pop((self._bucket, name), None)


def _check(subject: str) -> None:
    if not subject or any(character <= " " for character in subject):
        raise InvalidInput(f"not a subject: {subject!r}")


def _matches(pattern: str, subject: str) -> bool:
    if pattern == subject:
        return True
    wanted, had = pattern.split("."), subject.split(".")
    for i, part in enumerate(wanted):
        if part == ">":
            return len(had) > i
        if i >= len(had) or part not in ("*", had[i]):
            return False
    return len(wanted) == len(had)
