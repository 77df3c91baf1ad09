"""The broker as its users see it: subjects, messages, and what is promised of them.

What every adapter keeps, and `tests/contract/test_broker.py` proves:

- **At most once.** A message is delivered once or not at all; there is no acknowledgement. What
  was published while the connection broke may be lost without a word: whoever needs it numbers
  its messages and asks again.
- **In order** for one publisher and one subscriber on one subject.
- **A subscription outlives reconnects**; what was published meanwhile is gone.
- **Bounded.** What waits for the connection, or for a slow subscriber, is bounded in bytes; past
  that a publisher gets `Unavailable`, and a subscriber loses messages, which are counted.
- **Undeliverable is told.** A message published with a reply subject that nobody subscribed to
  comes back on that reply subject as a delivery with `undeliverable` set and an empty payload.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as a subscriber gets it.

    Args:
        subject: what it was published to; for an undeliverable one, the reply subject.
        payload: owned by the receiver.
        reply: where an answer goes; "": none is wanted.
        undeliverable: nobody listens on what we published with this subject as its reply.
    """

    subject: str
    payload: bytes
    reply: str = ""
    undeliverable: bool = False


Handler = Callable[[Delivery], None]
"""Called on the event loop, in the order of arrival. It must neither block nor raise: what it
raises is logged and counted, and the subscription goes on."""


class Subscription(Protocol):
    """Interest in a subject, until `unsubscribe`."""

    async def unsubscribe(self) -> None:
        """End it; the handler is not called any more. Repeating it does nothing."""


class Broker(Protocol):
    """A connection to the broker; see the module for what it promises."""

    @property
    def max_payload_bytes(self) -> int:
        """The largest payload of one message."""

    @property
    def connected(self) -> bool:
        """False while reconnecting and after `close`."""

    async def subscribe(self, subject: str, handler: Handler, *, queue: str = "") -> Subscription:
        """Call `handler` for every message on `subject`, which may end in the wildcard ``>``.

        With `queue`, each message goes to one random member of that group. Messages published
        after this returns, by whoever learned of it, arrive.

        Raises:
            Unavailable: the broker is closed.
        """

    async def publish(self, subject: str, payload: bytes, *, reply: str = "") -> None:
        """Send `payload`; returns before it has arrived, and waits only while the socket is full.

        Raises:
            LimitExceeded: the payload is larger than `max_payload_bytes`.
            Unavailable: disconnected, and the buffer for that is full; or closed.
        """

    def post(self, subject: str, parts: Sequence[bytes], *, reply: str = "") -> bool:
        """Hand a payload, which lies in `parts`, to the socket at once, in order with `publish`.

        For the frame path, which bundles by itself: no task runs between the call and the socket.

        Returns:
            False when nothing was sent: disconnected, or no room. Then `publish` waits and tells
            why. True promises no more than `publish` does.
        """

    async def request(self, subject: str, payload: bytes, *, timeout_s: float) -> bytes:
        """Send `payload` and return the first answer.

        Raises:
            LimitExceeded: the payload is larger than `max_payload_bytes`.
            Unavailable: `no_responders` (nobody listens; told at once) or `broker_timeout`.
        """

    async def gather(
        self, subject: str, payload: bytes, *, copies: int, timeout_s: float
    ) -> list[bytes]:
        """Send `copies` requests and return the answers that came until all did or time was up.

        Each copy goes to one random member of the queue group, perhaps to the same one twice.
        Returns [] at once when nobody listens.

        Raises:
            LimitExceeded: the payload is larger than `max_payload_bytes`.
            Unavailable: as for `publish`.
        """

    async def flush(self) -> None:
        """Wait until the broker has read everything published so far.

        Raises:
            Unavailable: it did not within a few seconds.
        """

    async def register(
        self,
        *,
        service: str,
        version: str,
        description: str,
        metadata: Mapping[str, str],
        endpoint: str,
        subject: str,
        queue: str,
        handler: Handler,
    ) -> Subscription:
        """Subscribe `handler` as a queue member, announced as a service to the broker's tools.

        Ending the subscription withdraws the announcement. Adapters without such tools only
        subscribe.

        Args:
            service: the kind of the service: letters, digits, ``-`` and ``_``.
            version: as semantic versioning writes it.
            description: for people.
            metadata: of this process, such as its name and its pool.
            endpoint: the name of the endpoint that `subject` is.
            subject: where requests come.
            queue: the group whose members share the requests.
            handler: as for `subscribe`.

        Raises:
            InvalidInput: a name or the version is not valid.
            Unavailable: the broker is closed or disconnected.
        """

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback` on the event loop when the connection is lost, before any reconnect."""

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback` on the event loop after each reconnect, when subscriptions are back."""

    async def close(self) -> None:
        """Send what was published, end every subscription, disconnect. Repeating does nothing."""


@dataclass(frozen=True, slots=True)
class BlobEntry:
    """A blob as it is listed.

    Args:
        name: of the blob.
        revision: of its last `put` or `renew`; they grow within a bucket.
        renewed_ms: when that was, in Unix milliseconds by the store's clock.
    """

    name: str
    revision: int
    renewed_ms: int


class Blobs(Protocol):
    """Named, immutable bytes of any size that outlive processes."""

    async def put(self, name: str, data: bytes) -> None:
        """Store `data`; a name that is there already is replaced whole, or else renewed.

        Raises:
            Unavailable: the store does not answer.
        """

    async def renew(self, name: str) -> None:
        """Count as put just now, so that nobody who looks at its age removes it.

        Raises:
            NotFound: there is no such name.
            Unavailable: the store does not answer.
        """

    async def entries(self, *, after: int, limit: int) -> tuple[list[BlobEntry], int]:
        """Up to `limit` blobs whose revision is above `after`, the oldest first.

        Returns:
            The entries, and the `after` of the next call; 0: these were the last.

        Raises:
            Unavailable: the store does not answer.
        """

    async def delete_unchanged(self, entry: BlobEntry) -> bool:
        """Forget a blob; False: it was put or renewed since it was listed, or it is gone.

        Raises:
            Unavailable: the store does not answer.
        """

    async def get(self, name: str) -> bytes:
        """Return what was stored.

        Raises:
            NotFound: there is no such name.
            Unavailable: the store does not answer, or what it has is damaged.
        """

    async def delete(self, name: str) -> None:
        """Forget `name`; nothing happens when it is absent.

        Raises:
            Unavailable: the store does not answer.
        """
