"""The socket port over the sans-IO protocol of `websockets` and a plain asyncio transport.

Bytes go from the transport to the handler in one call, without a task or a queue per connection:
binary messages straight from the frame cutter, everything else through the protocol.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Final, cast

from websockets.frames import CloseCode as WireCode
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import CLOSED, OPEN, Protocol
from websockets.server import ServerProtocol

from direct_contact.gateway.framing import FrameCutter, binary_header
from direct_contact.gateway.handshake import select_subprotocol, shake_hands
from direct_contact.gateway.sockets import Acceptor, SocketHandler, SocketLimits

_END_OF_REQUEST: Final = b"\r\n\r\n"
COPIED_BYTES: Final = 4096
"""Up to here, joining a message and its header costs less than writing the two together."""


class WebSocketServer:
    """Listens on one address; every accepted connection gets a handler from the acceptor."""

    def __init__(self, acceptor: Acceptor, limits: SocketLimits) -> None:
        self.acceptor = acceptor
        self.limits = limits
        self.handshakes: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def listen(
        self, host: str, port: int, tls: ssl.SSLContext | None = None, *, backlog: int = 4096
    ) -> int:
        """Start; returns the port.

        Raises:
            OSError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), host, port, ssl=tls, backlog=backlog
        )
        return cast("int", self._server.sockets[0].getsockname()[1])

    def stop_accepting(self) -> None:
        """Close the listening socket; accepted connections stay."""
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """Stop accepting and drop handshakes under way."""
        self.stop_accepting()
        for task in tuple(self.handshakes):
            task.cancel()
        if self.handshakes:
            await asyncio.wait(self.handshakes)


class _Connection(asyncio.Protocol):
    """One TCP connection, from its first byte to its end. It is the handler's `Socket`."""

    __slots__ = (
        "_close_timer",
        "_cutter",
        "_fragments",
        "_handler",
        "_is_text",
        "_limits",
        "_protocol",
        "_requested",
        "_server",
        "_told",
        "_transport",
    )

    def __init__(self, server: WebSocketServer) -> None:
        self._server = server
        self._limits = server.limits
        self._protocol = ServerProtocol(
            max_size=server.limits.max_message_bytes,
            select_subprotocol=select_subprotocol,
            logger=_quiet,
        )
        self._cutter = FrameCutter(server.limits.max_message_bytes)
        self._handler: SocketHandler | None = None
        self._transport: asyncio.Transport | None = None
        self._fragments: list[bytes] = []
        self._is_text = False
        self._requested = False
        self._told = False
        self._close_timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------ asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # The buffer's bound is checked at each send; asyncio need not call back about it.
        self._transport.set_write_buffer_limits(high=self._limits.max_buffered_bytes * 2)
        self._arm(self._limits.handshake_timeout_s)

    def data_received(self, data: bytes) -> None:
        handler = self._handler
        if handler is None:
            self._before_the_upgrade(data)
            return
        cutter = self._cutter
        if self._protocol.state is not OPEN:
            cutter.give_up()
        cutter.feed(data)
        while True:
            messages, other = cutter.take()
            if messages and not self._told:
                handler.messages(messages)
            if not other:
                return
            self._through_protocol(other)
            if self._protocol.state is not OPEN:
                cutter.give_up()

    def _before_the_upgrade(self, data: bytes) -> None:
        early = self._requested
        self._through_protocol(data)
        if self._requested:
            _, end, more = data.partition(_END_OF_REQUEST)
            if early or more or not end:
                # The protocol may hold the beginning of a frame.
                self._cutter.give_up()

    def _through_protocol(self, data: bytes) -> None:
        protocol = self._protocol
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Frame):
                self._on_frame(event)
            elif isinstance(event, Request):
                self._on_request(event)
        self._flush()

    def eof_received(self) -> bool:
        self._protocol.receive_eof()
        self._flush()
        return False

    def connection_lost(self, _exc: Exception | None) -> None:
        self._disarm()
        if self._handler is not None and not self._told:
            self._told = True
            protocol: Protocol = self._protocol
            if protocol.state is not CLOSED:
                # After a full closing handshake we close first: the peer's end is implied.
                protocol.receive_eof()
            code = protocol.close_code
            self._handler.closed(
                WireCode.ABNORMAL_CLOSURE if code is None else code, protocol.close_reason or ""
            )
        self._transport = None

    # ------------------------------------------------------------ handshake

    def _on_request(self, request: Request) -> None:
        if self._requested:
            return
        self._requested = True
        task = asyncio.get_running_loop().create_task(self._shake_hands(request))
        self._server.handshakes.add(task)
        task.add_done_callback(self._server.handshakes.discard)

    async def _shake_hands(self, request: Request) -> None:
        response, handler = await shake_hands(
            self._protocol, request, self._server.acceptor, self._transport
        )
        if handler is None:
            self._respond(response)
            return
        if self._transport is None or self._transport.is_closing():
            handler.closed(WireCode.ABNORMAL_CLOSURE, "gone during the handshake")
            return
        self._disarm()
        self._handler = handler
        self._respond(response)
        handler.opened(self)

    def _respond(self, response: Response) -> None:
        self._protocol.send_response(response)
        self._flush()

    # ------------------------------------------------------------ frames

    def _on_frame(self, frame: Frame) -> None:
        handler = self._handler
        opcode = frame.opcode
        if handler is None or self._told or opcode not in _DATA:
            return
        if opcode is not Opcode.CONT:
            self._is_text = opcode is Opcode.TEXT
        if frame.data:
            # The protocol bounds their sum; empty ones would be bounded by nothing.
            self._fragments.append(bytes(frame.data))
        if not frame.fin:
            return
        message = b"".join(self._fragments)
        self._fragments.clear()
        if not self._is_text:
            handler.messages([message])
            return
        try:
            text = message.decode()
        except UnicodeDecodeError:
            self.close(WireCode.INVALID_DATA, "a text message is not UTF-8")
        else:
            handler.text(text)

    # ------------------------------------------------------------ the port's side

    def send(self, message: bytes | str) -> None:
        """Queue a message; see the port."""
        transport = self._transport
        if transport is None or self._protocol.state is not OPEN:
            return
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
            self._flush()
        elif len(message) <= COPIED_BYTES:
            transport.write(binary_header(len(message)) + message)
        else:
            transport.writelines((binary_header(len(message)), message))
        buffered = transport.get_write_buffer_size()
        if buffered > self._limits.max_buffered_bytes and self._handler is not None:
            self._handler.slow(buffered)

    def close(self, code: int, reason: str) -> None:
        """Say goodbye; see the port."""
        if self._transport is None:
            return
        if self._protocol.state is OPEN:
            self._protocol.send_close(code, reason[:120])
            self._flush()
        self._arm(self._limits.close_timeout_s)

    # ------------------------------------------------------------ bytes and timers

    def _flush(self) -> None:
        transport = self._transport
        if transport is None:
            return
        for data in self._protocol.data_to_send():
            if data:
                transport.write(data)
            else:
                self._end()
        if self._protocol.close_expected():
            self._arm(self._limits.close_timeout_s)

    def _end(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _arm(self, delay_s: float) -> None:
        if self._close_timer is None:
            loop = asyncio.get_running_loop()
            self._close_timer = loop.call_later(delay_s, self._abort)

    def _disarm(self) -> None:
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


_DATA: Final = frozenset((Opcode.BINARY, Opcode.TEXT, Opcode.CONT))
_quiet = logging.getLogger(f"{__name__}.wire")
_quiet.setLevel(logging.CRITICAL)
