"""`connect` and the broker that it returns."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nats import errors
from nats.aio.client import Server
from nats.aio.subscription import Subscription as NatsSubscription

from broker.nats.blobs import NatsBlobs
from broker.nats.client import PENDING_BYTES, DirectClient
from broker.nats.questions import Questions
from broker.nats.services import announce
from broker.port import Handler, Subscription
from foundation.complaints import Complaints
from foundation.errors import InvalidInput, Unavailable
from foundation.settings import BrokerSettings
from foundation.urls import without_credentials

logger = logging.getLogger(__name__)

SCHEMES = ("nats", "tls")
PING_INTERVAL_S = 5
"""A server that froze is noticed after three of these."""
FLUSH_TIMEOUT_S = 5.0
RETRY_S = (0.05, 0.15)
"""A restarted server is found within this time; the spread keeps clients from coming at once."""
WAITING_MESSAGE_S = 2.0


async def connect(settings: BrokerSettings, *, name: str) -> NatsBroker:
    """Connect to NATS, waiting for it up to `connect_timeout_s`; from then on it reconnects itself.

    Args:
        settings: the servers and how long to wait for them.
        name: what the server's monitoring calls this connection.

    Raises:
        InvalidInput: the URL is not one of NATS.
        Unavailable: no server answered in time; names the URL and the last reason.
    """
    address = without_credentials(settings.nats_url)
    servers = [server.strip() for server in settings.nats_url.split(",")]
    for server in servers:
        scheme, separator, _ = server.partition("://")
        if separator and scheme not in SCHEMES:
            raise InvalidInput(
                f"DC_NATS_URL {address} is not a NATS URL: its scheme is {scheme!r}, not one of "
                f"{', '.join(SCHEMES)}",
                field="nats_url",
            )
    broker = NatsBroker(address)
    try:
        async with asyncio.timeout(settings.connect_timeout_s):
            await broker.open(servers, name)
    except TimeoutError as error:
        await broker.close()
        raise Unavailable(
            f"NATS at {address} (DC_NATS_URL) did not answer within "
            f"{settings.connect_timeout_s:g} s: {broker.last_error or 'no connection'}",
            code="broker_unreachable",
        ) from error
    except (errors.Error, ValueError) as error:
        await broker.close()
        raise InvalidInput(
            f"DC_NATS_URL {address} is not a NATS URL: {error}", field="nats_url"
        ) from error
    except BaseException:
        await broker.close()
        raise
    return broker


class NatsBroker:
    """A `Broker` on NATS. Made by `connect`.

    The counters only grow: `published`, `received`, `undeliverable` is for its subscribers to
    count, `reconnects`, `dropped` (lost in queues of ours) and `failed` (handlers that raised).
    """

    def __init__(self, address: str) -> None:
        self.reconnects = 0
        self.dropped = 0
        self.last_error: Exception | None = None
        self._address = address
        self._client = DirectClient()
        self._questions = Questions(self._client)
        self._disconnected: list[Callable[[], None]] = []
        self._reconnected: list[Callable[[], None]] = []
        self._opened = False
        self._closed = False
        self._waiting = Complaints(logger, every_s=WAITING_MESSAGE_S)
        self._complaints = Complaints(logger)

    async def open(self, servers: list[str], name: str) -> None:
        """Connect; for `connect`, which bounds the time and translates the errors."""
        await self._client.connect(
            servers=servers,
            name=name,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnect,
            reconnected_cb=self._on_reconnect,
            max_reconnect_attempts=-1,
            # nats-py's hints say int; it only sleeps this long between first attempts.
            reconnect_time_wait=RETRY_S[1],  # type: ignore[arg-type]
            reconnect_to_server_handler=_next_server,
            ping_interval=PING_INTERVAL_S,
            pending_size=PENDING_BYTES,
        )
        await self._questions.open()
        await self._client.settle(FLUSH_TIMEOUT_S)
        self._opened = True

    # ------------------------------------------------------------------ the port

    @property
    def max_payload_bytes(self) -> int:
        """As the server says."""
        return self._client.max_payload

    @property
    def connected(self) -> bool:
        """False while reconnecting and after `close`."""
        return self._client.is_connected

    @property
    def published(self) -> int:
        """Messages taken for sending."""
        return self._client.published

    @property
    def received(self) -> int:
        """Messages given to handlers."""
        return self._client.received

    @property
    def failed(self) -> int:
        """Messages whose handler raised."""
        return self._client.failed

    async def subscribe(self, subject: str, handler: Handler, *, queue: str = "") -> Subscription:
        """See `Broker.subscribe`."""
        try:
            subscription = await self._client.listen(subject, handler, queue)
        except errors.BadSubjectError as error:
            raise InvalidInput(f"not a subject: {subject!r}") from error
        except errors.Error as error:
            raise Unavailable(f"NATS: {error}", code="broker_closed") from error
        if self._client.is_connected:
            try:
                await self._client.settle(FLUSH_TIMEOUT_S)
            except Unavailable:
                # The reconnect brings it back.
                logger.debug("NATS went away during the subscription to %s", subject)
        return _Subscribed(self._client, subscription)

    async def publish(self, subject: str, payload: bytes, *, reply: str = "") -> None:
        """See `Broker.publish`."""
        await self._client.send(subject, payload, reply)

    def post(self, subject: str, parts: Sequence[bytes], *, reply: str = "") -> bool:
        """See `Broker.post`."""
        return self._client.post(subject, parts, reply)

    async def request(self, subject: str, payload: bytes, *, timeout_s: float) -> bytes:
        """See `Broker.request`."""
        answers = await self._questions.ask(subject, payload, copies=1, timeout_s=timeout_s)
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
        answers = await self._questions.ask(subject, payload, copies=copies, timeout_s=timeout_s)
        return [answer.payload for answer in answers if not answer.undeliverable]

    async def flush(self) -> None:
        """See `Broker.flush`."""
        await self._client.settle(FLUSH_TIMEOUT_S)

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
        """See `Broker.register`; the tools are `nats micro list|info|stats`."""
        return await announce(
            self._client,
            service=service,
            version=version,
            description=description,
            metadata=metadata,
            endpoint=endpoint,
            subject=subject,
            queue=queue,
            handler=handler,
        )

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        """See `Broker.on_disconnect`."""
        self._disconnected.append(callback)

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """See `Broker.on_reconnect`."""
        self._reconnected.append(callback)

    def blobs(self, bucket: str) -> NatsBlobs:
        """Blobs in the JetStream object store `bucket`, which is made when first needed."""
        return NatsBlobs(self._client, bucket)

    async def close(self) -> None:
        """See `Broker.close`."""
        if self._closed:
            return
        self._closed = True
        if self._client.is_connected:
            try:
                await self._client.settle(FLUSH_TIMEOUT_S)
            except Unavailable as error:
                logger.debug("closing: %s", error)
        await self._client.shut()

    # ------------------------------------------------------------------ what nats-py tells

    async def _on_error(self, error: Exception) -> None:
        self.last_error = error
        if isinstance(error, errors.SlowConsumerError):
            self.dropped += 1
            self._complaints.warning("lost a message on %s: too slow to take it", error.subject)
        elif not self._client.is_connected:
            self._waiting.warning("waiting for NATS at %s: %s", self._address, _reason(error))
        else:
            self._complaints.warning("NATS at %s: %s", self._address, _reason(error))

    async def _on_disconnect(self) -> None:
        if self._opened and not self._closed:
            logger.warning("the connection to NATS at %s is lost", self._address)
            _tell(self._disconnected)

    async def _on_reconnect(self) -> None:
        self.reconnects += 1
        logger.info("connected to NATS at %s again", self._address)
        _tell(self._reconnected)


class _Subscribed:
    def __init__(self, client: DirectClient, subscription: NatsSubscription) -> None:
        self._client = client
        self._subscription = subscription

    async def unsubscribe(self) -> None:
        await self._client.ignore(self._subscription)


def _next_server(servers: list[Server], _info: dict[str, Any]) -> tuple[Server, float]:
    """The server with the fewest failures, and how long to wait before trying it."""
    server = min(servers, key=lambda server: server.reconnects)
    shortest, longest = RETRY_S if server.reconnects else (0.0, RETRY_S[0])
    return server, random.uniform(shortest, longest)  # noqa: S311  # jitter is no secret


def _tell(callbacks: list[Callable[[], None]]) -> None:
    for callback in callbacks:
        try:
            callback()
        except Exception:
            logger.exception("a callback of the NATS connection failed")


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
