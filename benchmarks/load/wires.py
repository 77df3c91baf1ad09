"""The wires of the generator, as asyncio protocols that do only what it needs.

Own ones, because every microsecond here is taken from what is measured beside it: `websockets`
costs 20 µs a message, these 2 µs.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from typing import Any, Protocol, cast

from benchmarks.load.frames import websocket_message

_PING, _PONG, _CLOSE = 0x9, 0x8A, 0x88
_CONTROL = 0x8


class Broken(Exception):
    """The other side closed, refused, or answered what it must not."""


class Talk(Protocol):
    """What is said over a wire."""

    def opened(self, wire: Wire) -> None:
        """The wire is up."""

    def message(self, data: bytes) -> None:
        """One whole message came."""

    def turn_over(self) -> None:
        """No further message is complete for now: answer what came, in one write."""

    def closed(self, reason: str) -> None:
        """The wire is gone."""


class Wire(asyncio.Protocol):
    """One connection."""

    bare = False
    """Messages are ClientFrames without a WebSocket header."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.transport: asyncio.Transport | None = None
        self.is_open = False
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._due = 0
        self._reason = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=64 << 20)
        self.greet()

    def greet(self) -> None:
        """Begin the handshake."""

    def write(self, data: bytes) -> None:
        """Send bytes that are framed already."""
        if self.transport is not None:
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self._held:
            self._held.append(data)
            self._held_bytes += len(data)
            if self._held_bytes < self._due:
                return
            data = b"".join(self._held)
            self._held.clear()
        self._due = 0
        rest = self.take(data)
        if rest:
            self._held.append(rest)
            self._held_bytes = len(rest)
        if self.is_open:
            self.talk.turn_over()

    def take(self, data: bytes) -> bytes:
        """Handle every whole message; returns the rest, and may set `_due`, its length when whole.

        Until so much is there, nothing is joined: of a large message in many reads each would copy
        all before it.
        """
        raise NotImplementedError

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self.talk.closed(self._reason or str(error or "closed"))

    def fail(self, reason: str) -> None:
        """Hang up, and remember why."""
        self._reason = self._reason or reason
        if self.transport is not None:
            self.transport.abort()

    def bye(self) -> None:
        """Hang up when everything is written."""
        if self.transport is not None:
            self.transport.close()


class WebSocketWire(Wire):
    """A WebSocket client without extensions and fragments.

    Args:
        talk: what is said.
        host: for the request's header.
        path: asked for.
        subprotocols: offered.
    """

    def __init__(self, talk: Talk, host: str, path: str, subprotocols: list[str]) -> None:
        super().__init__(talk)
        self._host = host
        self._path = path
        self._subprotocols = subprotocols

    def greet(self) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {self._path} HTTP/1.1",
            f"Host: {self._host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        ]
        if self._subprotocols:
            lines.append("Sec-WebSocket-Protocol: " + ", ".join(self._subprotocols))
        self.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def take(self, data: bytes) -> bytes:
        pos = 0
        if not self.is_open:
            pos = data.find(b"\r\n\r\n") + 4
            if pos < 4:
                return data
            if not data.startswith(b"HTTP/1.1 101 "):
                self.fail("refused: " + data[:300].decode("latin-1"))
                return b""
            self.is_open = True
            self.talk.opened(self)
        end = len(data)
        message = self.talk.message
        while pos + 2 <= end:
            first, size = data[pos], data[pos + 1]
            start = pos + 2
            if size == 126:
                start += 2
                size = int.from_bytes(data[pos + 2 : start])
            elif size == 127:
                start += 8
                size = int.from_bytes(data[pos + 2 : start])
            if start > end or start + size > end:
                self._due = start + size - pos if start <= end else 0
                break
            pos = start + size
            if first & _CONTROL:
                self._on_control(first & 0xF, data[start:pos])
            else:
                message(data[start:pos])
        return data[pos:] if pos < end else b""

    def _on_control(self, opcode: int, body: bytes) -> None:
        if opcode == _PING:
            self.write(websocket_message(body, opcode=_PONG))
        elif opcode == _CLOSE & 0xF:
            code = int.from_bytes(body[:2])
            self.fail(f"closed with {code}: {body[2:].decode(errors='replace')}")


class NatsWire(Wire):
    """A NATS client that asks one subject and takes the answers from an inbox of its own."""

    bare = True

    def __init__(self, talk: Talk, subject: str) -> None:
        super().__init__(talk)
        inbox = f"_INBOX.{os.urandom(8).hex()}"
        self._inbox = inbox
        self._prefix = f"PUB {subject} {inbox} ".encode()

    def greet(self) -> None:
        options: dict[str, Any] = {"verbose": False, "pedantic": False, "lang": "load"}
        options |= {"version": "1", "protocol": 1, "no_responders": True, "headers": True}
        self.write(
            b"CONNECT %b\r\nSUB %b 1\r\nPING\r\n"
            % (json.dumps(options).encode(), self._inbox.encode())
        )

    def framed(self, messages: list[bytes]) -> bytes:
        """The messages as publications."""
        prefix = self._prefix
        return b"".join([b"%b%d\r\n%b\r\n" % (prefix, len(m), m) for m in messages])

    def take(self, data: bytes) -> bytes:
        pos = 0
        while (line_end := data.find(b"\r\n", pos)) >= 0:
            line = data[pos:line_end]
            if line.startswith(b"MSG "):
                size = int(line[line.rindex(b" ") :])
                start = line_end + 2
                if start + size + 2 > len(data):
                    break
                pos = start + size + 2
                self.talk.message(data[start : start + size])
                continue
            pos = line_end + 2
            if line == b"PONG" and not self.is_open:
                self.is_open = True
                self.talk.opened(self)
            elif line == b"PING":
                self.write(b"PONG\r\n")
            elif line.startswith((b"-ERR", b"HMSG")):
                self.fail(line.decode(errors="replace"))
                return b""
        return data[pos:]


class HttpWire(Wire):
    """An HTTP client that posts to one path over a kept connection.

    Args:
        talk: what is said.
        host: for the request's header.
        path: posted to.
    """

    bare = True

    def __init__(self, talk: Talk, host: str, path: str) -> None:
        super().__init__(talk)
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            "Content-Length: "
        ).encode()

    def greet(self) -> None:
        self.is_open = True
        self.talk.opened(self)

    def framed(self, messages: list[bytes]) -> bytes:
        """The messages as requests."""
        head = self._head
        return b"".join([b"%b%d\r\n\r\n%b" % (head, len(m), m) for m in messages])

    def take(self, data: bytes) -> bytes:
        while (start := data.find(b"\r\n\r\n") + 4) >= 4:
            head = data[:start].lower()
            if not head.startswith(b"http/1.1 200"):
                self.fail("refused: " + data[:300].decode("latin-1"))
                return b""
            at = head.index(b"content-length:") + 15
            size = int(head[at : head.index(b"\r", at)])
            if start + size > len(data):
                break
            self.talk.message(data[start : start + size])
            data = data[start + size :]
        return data
