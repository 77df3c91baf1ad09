"""What a NATS server sends, cut into messages as it comes from the socket.

nats-py reads through asyncio's stream: what came is copied into the stream's buffer, in pieces of
32 KiB into the parser's, and out of both again, with a wake-up of the reading task each time. Here
a message of our own subscriptions is cut off the received bytes and delivered inside the
transport's call. Everything else goes on to nats-py, in whole units of the protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

LINE_BYTES: Final = 64 * 1024
"""No line is longer but the server's INFO, where a cluster is very large: nats-py's to judge."""

PAUSE_BYTES: Final = 512 * 1024
"""So much is read before others have the event loop. uvloop would read 8 MB at a time: what came
first would be answered with what came last, and each process would wait for the one before it."""

_CRLF: Final = b"\r\n"


class Message(NamedTuple):
    """A MSG, and how it lay on the wire."""

    number: int
    """Of the subscription."""
    subject: bytes
    reply: bytes
    payload: bytes


class MessageCutter:
    """Cuts the server's bytes into messages for `numbers`, and other whole units.

    After each `feed`, `take` until it has nothing: None. What is under way is held; the server
    keeps to its `max_payload`. At what it does not understand the cutter gives up: everything that
    follows is other.
    """

    __slots__ = ("_at", "_data", "_due", "_given_up", "_held", "_numbers", "_parts")

    def __init__(self, numbers: Callable[[int], bool]) -> None:
        self._numbers = numbers
        self._parts: list[bytes] = []
        self._held = 0
        self._due = 0
        self._data = b""
        self._at = 0
        self._given_up = False

    def feed(self, data: bytes) -> None:
        """More came."""
        if self._parts:
            self._parts.append(data)
            self._held += len(data)
            if self._held < self._due:
                return
            data = b"".join(self._parts)
            self._parts.clear()
        self._data, self._at = data, 0

    def take(self) -> Message | bytes | None:
        """The next message, or other unit."""
        data, start = self._data, self._at
        end = len(data)
        if start >= end:
            return None
        line_end = -1 if self._given_up else data.find(_CRLF, start)
        if line_end < 0:
            if not self._given_up and end - start < LINE_BYTES:
                self._hold(0)
                return None
            self._given_up = True
            self._data, self._at = b"", 0
            return data[start:]
        stop = body = line_end + 2
        is_message = data.startswith(b"MSG ", start)
        if is_message or data.startswith(b"HMSG ", start):
            fields = data[start:line_end].split()
            if len(fields) < 4 or not (fields[2].isdigit() and fields[-1].isdigit()):
                self._given_up = True
                return self.take()
            stop += int(fields[-1]) + 2
            if stop > end:
                self._hold(stop - start)
                return None
            self._at = stop
            if is_message and self._numbers(number := int(fields[2])):
                reply = fields[3] if len(fields) > 4 else b""
                return Message(number, fields[1], reply, data[body : stop - 2])
        self._at = stop
        return data[start:stop]

    def _hold(self, due: int) -> None:
        self._parts.append(self._data[self._at :])
        self._held, self._due = len(self._parts[0]), due
        self._data, self._at = b"", 0


class MessageReader(asyncio.StreamReader):
    """A stream that delivers messages by itself, once `start` is called."""

    _buffer: bytearray
    _loop: asyncio.AbstractEventLoop
    _paused: bool
    _transport: asyncio.ReadTransport | None
    """asyncio's, which its type stubs leave out."""
    _since_pause = 0
    _cutter: MessageCutter | None = None
    _deliver: Callable[[Message], None]

    def start(self, numbers: Callable[[int], bool], deliver: Callable[[Message], None]) -> None:
        """From now on, call `deliver` for messages of these subscriptions, in their order.

        The handshake must be over: the stream is between two units of the protocol.
        """
        self._cutter = MessageCutter(numbers)
        self._deliver = deliver
        came = bytes(self._buffer)
        self._buffer.clear()
        self.feed_data(came)

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # it gets nothing else
        """Data came from the transport."""
        cutter = self._cutter
        if cutter is None:
            super().feed_data(data)
            return
        cutter.feed(data)
        while (unit := cutter.take()) is not None:
            if isinstance(unit, Message):
                self._deliver(unit)
            else:
                super().feed_data(unit)
        self._since_pause += len(data)
        if self._since_pause >= PAUSE_BYTES:
            self._since_pause = 0
            self._let_others_run()

    def _let_others_run(self) -> None:
        """Read on in the next turn of the event loop."""
        transport = self._transport
        if transport is not None and transport.is_reading():
            transport.pause_reading()
            self._loop.call_soon(self._read_on, transport)

    def _read_on(self, transport: asyncio.ReadTransport) -> None:
        if not self._paused:  # By asyncio, which goes on by itself when the buffer is read.
            transport.resume_reading()
