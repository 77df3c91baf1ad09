"""nats-py's client with a direct path for frames, and with repairs.

The frame path leaves out what nats-py does for each message (validation by regular expression, a
message object, a queue and a task wake-up per subscription): a handler is called as the bytes
arrive (`incoming`), in their order, and a publish appends to the buffer that the flusher writes out
once per event-loop turn. Nothing queues between the socket and the handler, so a busy process slows
its server connection down instead of losing messages.

The repairs, each of a fault seen in nats-py 2.16:

- PING overtook the publishes that `flush` is to wait for; now it queues behind them.
- A PONG for a flush that had been cancelled raised in the read loop, which ended without a
  reconnect: the connection was deaf until the next stale check.
- Any other exception ended the read loop in the same way; now it reconnects.
- An error from the server, other than a permission error, closed the client for good; now it
  reconnects.
- A flush that was under way when the connection broke waited for its whole time limit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from nats import errors
from nats.aio.client import PING_PROTO, Client, Srv
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.protocol.parser import PERMISSIONS_ERR

from broker.nats.incoming import Message
from broker.nats.transport import MessageTransport
from broker.port import Delivery, Handler
from foundation.complaints import Complaints
from foundation.errors import InvalidInput, LimitExceeded, Unavailable

logger = logging.getLogger(__name__)

PENDING_BYTES = 8 * 1024 * 1024
"""What waits for the connection, beside as much again that the socket's buffer may hold. Frames are
kept at the edge until they are durable, so more would only delay the first ones after a reconnect.
"""
ROOM_TIMEOUT_S = 5.0
"""How long a publish waits for a server that does not read, before it is refused."""
COPIED_BYTES = 8 * 1024
"""Up to here, by the mean of its parts, joining a message costs less than writing its parts."""
PREFIXES = 1024
"""Remembered beginnings of PUB lines, one for each peer; beyond that they are forgotten together.
Only those of `post`: a question's inbox is never used again."""

_NO_RESPONDERS = b"NATS/1.0 503"
_CRLF = b"\r\n"


class DirectClient(Client):
    """A NATS connection whose `listen` and `send` are the frame path."""

    def __init__(self) -> None:
        super().__init__()
        self.published = 0
        self.received = 0
        self.failed = 0
        self._handlers: dict[int, Handler] = {}
        self._prefixes: dict[tuple[str, str], bytes] = {}
        self._room = asyncio.Lock()
        self._complaints = Complaints(logger)

    # ------------------------------------------------------------------ subscribing

    async def listen(self, subject: str, handler: Handler, queue: str) -> Subscription:
        """Subscribe `handler`, called as messages come; `ignore` ends it."""
        # subscribe() takes the next number before it first suspends. The future that is never
        # done keeps it from starting a task of its own.
        number = self._sid + 1
        self._handlers[number] = handler
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            return await self.subscribe(subject, queue=queue, future=never)
        except BaseException:
            self._handlers.pop(number, None)
            raise

    async def ignore(self, subscription: Subscription) -> None:
        """End a subscription that `listen` made; its handler is not called any more."""
        if self._handlers.pop(subscription._id, None) is None or self.is_closed:  # noqa: SLF001
            return
        await subscription.unsubscribe()

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        handler = self._handlers.get(sid)
        if handler is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        undeliverable = bool(headers) and not data and headers.startswith(_NO_RESPONDERS)
        self._deliver(handler, Delivery(subject.decode(), data, reply.decode(), undeliverable))

    def _on_message(self, message: Message) -> None:
        """As `_process_msg`, for what the transport delivers by itself."""
        if self.is_closed or self.is_reconnecting:
            return
        handler = self._handlers.get(message.number)
        if handler is not None:
            delivery = Delivery(message.subject.decode(), message.payload, message.reply.decode())
            self._deliver(handler, delivery)

    def _deliver(self, handler: Handler, delivery: Delivery) -> None:
        self.received += 1
        try:
            handler(delivery)
        except Exception:  # noqa: BLE001  # a faulty handler must not end the connection
            self.failed += 1
            self._complaints.exception("a handler of %s failed", delivery.subject)

    # ------------------------------------------------------------------ publishing

    async def send(self, subject: str, payload: bytes, reply: str) -> None:
        """Queue one message for the flusher, which writes everything of this turn at once."""
        size = len(payload)
        if size > self._max_payload:
            raise LimitExceeded(
                f"payload of {size} bytes is larger than the broker's limit of "
                f"{self._max_payload} bytes",
                code="payload_too_large",
            )
        if self._status != Client.CONNECTED or self._pending_data_size + size > PENDING_BYTES:
            await self._wait_for_room(size)
        line = b"%b%d\r\n" % (_prefix(subject, reply), size)
        self._pending += (line, payload, _CRLF)
        self._pending_data_size += len(line) + size + 2
        self.published += 1
        self._kick()

    def post(self, subject: str, parts: Sequence[bytes], reply: str) -> bool:
        """Write one message through to the socket; False: it has no room, nothing was sent."""
        size = sum(map(len, parts))
        transport = self._transport
        if (
            self._status != Client.CONNECTED
            or self._pending_data_size
            or size > self._max_payload
            or not isinstance(transport, TcpTransport)
            or (writer := transport._io_writer) is None  # noqa: SLF001
            or writer.transport.get_write_buffer_size() + size > PENDING_BYTES
        ):
            return False
        prefix = self._prefixes.get((subject, reply))
        if prefix is None:
            if len(self._prefixes) >= PREFIXES:
                self._prefixes.clear()
            prefix = self._prefixes[subject, reply] = _prefix(subject, reply)
        line = b"%b%d\r\n" % (prefix, size)
        if size <= len(parts) * COPIED_BYTES:
            writer.write(b"".join((line, *parts, _CRLF)))
        else:
            writer.writelines((line, *parts, _CRLF))
        self.published += 1
        return True

    def _kick(self) -> None:
        queue = self._flush_queue
        if self._status == Client.CONNECTED and queue is not None and queue.empty():
            queue.put_nowait(asyncio.get_running_loop().create_future())

    async def _wait_for_room(self, size: int) -> None:
        try:
            async with asyncio.timeout(ROOM_TIMEOUT_S), self._room:
                while True:
                    if self.is_closed:
                        raise Unavailable("the connection to NATS is closed", code="broker_closed")
                    full = self._pending_data_size + size > PENDING_BYTES
                    if self._status != Client.CONNECTED:
                        if full:
                            raise Unavailable(
                                "NATS is disconnected and the buffer of "
                                f"{PENDING_BYTES} bytes for that is full",
                                code="broker_disconnected",
                            )
                        return
                    if not full or not self._pending_data_size:
                        return
                    written = asyncio.get_running_loop().create_future()
                    assert self._flush_queue is not None  # noqa: S101  # set by connect
                    await self._flush_queue.put(written)
                    await written
        except TimeoutError as error:
            raise Unavailable(
                f"NATS reads too slowly: no room for {size} bytes within {ROOM_TIMEOUT_S:g} s",
                code="broker_slow",
            ) from error

    # ------------------------------------------------------------------ repairs

    async def settle(self, timeout_s: float) -> None:
        """Return when the server has read everything sent so far.

        Raises:
            Unavailable: it did not within `timeout_s`, or the connection broke meanwhile.
        """
        if self._status != Client.CONNECTED:
            raise Unavailable("NATS is disconnected", code="broker_disconnected")
        pong: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        await self._send_ping(pong)
        done, _ = await asyncio.wait({pong}, timeout=timeout_s)
        if not done:
            raise Unavailable(f"NATS did not answer within {timeout_s:g} s", code="broker_timeout")
        if pong.cancelled() or pong.exception() is not None:
            raise Unavailable("the connection to NATS broke", code="broker_disconnected")

    async def _send_ping(self, future: asyncio.Future[bool] | None = None) -> None:
        self._pongs.append(future or asyncio.get_running_loop().create_future())
        self._pending.append(PING_PROTO)
        self._pending_data_size += len(PING_PROTO)
        self._kick()

    async def _process_pong(self) -> None:
        if self._pongs:
            future = self._pongs.pop(0)
            if not future.done():
                future.set_result(True)
            self._pongs_received += 1
            self._pings_outstanding = 0

    async def _process_err(self, err_msg: str) -> None:
        error = errors.Error(f"nats: {err_msg}")
        self._err = error
        await self._error_cb(error)
        if PERMISSIONS_ERR not in err_msg:
            await self._process_op_err(error)

    async def _connect_to_server(self, s: Srv) -> None:
        if self._transport is None and s.uri.scheme not in ("ws", "wss"):
            self._transport = MessageTransport()
        await super()._connect_to_server(s)

    async def _read_loop(self) -> None:
        if isinstance(self._transport, MessageTransport):
            self._transport.start(self._handlers.__contains__, self._on_message)
        await super()._read_loop()
        # Does nothing when it ended for a reason: closed, or reconnecting already.
        if asyncio.current_task() is self._reading_task:
            await self._process_op_err(errors.UnexpectedEOF())

    async def _attempt_reconnect(self) -> None:
        self._pending = [part for part in self._pending if part is not PING_PROTO]
        broken, self._pongs = self._pongs, []
        for future in broken:
            if not future.done():
                future.set_exception(errors.ConnectionReconnectingError())
                future.exception()  # Not everybody who sent a PING waits for its PONG.
        await super()._attempt_reconnect()

    async def shut(self) -> None:
        """Close the connection, whatever state it is in, and leave no task behind."""
        if self._flush_queue is None:
            return  # connect() refused the URL
        if not self.is_connected:
            self._pending.clear()
            self._pending_data_size = 0
        tasks = (
            self._reading_task,
            self._ping_interval_task,
            self._flusher_task,
            self._reconnection_task,
        )
        try:
            await self.close()
        except (OSError, errors.Error) as error:
            logger.debug("closing the connection to NATS: %s", error)
        self._handlers.clear()
        current = asyncio.current_task()
        left = [task for task in tasks if task is not None and task is not current]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _prefix(subject: str, reply: str) -> bytes:
    for name in (subject, reply):
        # A line break here would let its sender speak the protocol in our place.
        if any(c <= " " for c in name) or (name is subject and not name):
            raise InvalidInput(f"not a subject: {name!r}")
    return f"PUB {subject} {reply} ".encode()
