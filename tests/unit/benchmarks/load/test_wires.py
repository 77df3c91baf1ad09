from __future__ import annotations

from typing import Any

import pytest

from benchmarks.load.wires import HttpWire, NatsWire, WebSocketWire, Wire

UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


class Heard:
    def __init__(self) -> None:
        self.opens = 0
        self.messages: list[bytes] = []
        self.turns = 0
        self.reason = ""

    def opened(self, wire: Wire) -> None:
        self.opens += 1

    def message(self, data: bytes) -> None:
        self.messages.append(data)

    def turn_over(self) -> None:
        self.turns += 1

    def closed(self, reason: str) -> None:
        self.reason = reason


class Transport:
    def __init__(self) -> None:
        self.written = b""
        self.aborted = False

    def set_write_buffer_limits(self, **_: Any) -> None: ...

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True


def framed(data: bytes) -> bytes:
    if len(data) < 126:
        return bytes((0x82, len(data))) + data
    if len(data) < 0x10000:
        return b"\x82\x7e" + len(data).to_bytes(2) + data
    return b"\x82\x7f" + len(data).to_bytes(8) + data


@pytest.mark.parametrize("step", [1, 7, 1000, 1_000_000])
def test_websocket_wire_finds_every_message_when_bytes_come_in_pieces(step: int) -> None:
    heard, transport = Heard(), Transport()
    wire = WebSocketWire(heard, "host", "/", ["dc.v1"])
    wire.connection_made(transport)  # type: ignore[arg-type]
    sent = [b"", b"a" * 125, b"b" * 126, b"c" * 70_000, b"d"]
    data = UPGRADED + b"".join(map(framed, sent))
    for start in range(0, len(data), step):
        wire.data_received(data[start : start + step])
    assert heard.opens == 1
    assert heard.messages == sent
    assert b"Sec-WebSocket-Protocol: dc.v1\r\n" in transport.written


def test_websocket_wire_answers_a_ping_when_one_comes_between() -> None:
    heard, transport = Heard(), Transport()
    wire = WebSocketWire(heard, "host", "/", [])
    wire.connection_made(transport)  # type: ignore[arg-type]
    transport.written = b""
    wire.data_received(UPGRADED + b"\x89\x02hi" + framed(b"x"))
    assert transport.written.startswith(b"\x8a\x82")
    assert heard.messages == [b"x"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\n\r\nbad ticket", "refused: HTTP/1.1 401"),
        (UPGRADED + b"\x88\x05\x11\x95no!", "closed with 4501: no!"),
    ],
)
def test_websocket_wire_hangs_up_when_the_server_refuses_or_closes(
    data: bytes, reason: str
) -> None:
    heard, transport = Heard(), Transport()
    wire = WebSocketWire(heard, "host", "/", [])
    wire.connection_made(transport)  # type: ignore[arg-type]
    wire.data_received(data)
    assert transport.aborted
    wire.connection_lost(None)
    assert heard.reason.startswith(reason)


@pytest.mark.parametrize("step", [1, 5, 10_000])
def test_nats_wire_finds_every_answer_when_bytes_come_in_pieces(step: int) -> None:
    heard, transport = Heard(), Transport()
    wire = NatsWire(heard, "work")
    wire.connection_made(transport)  # type: ignore[arg-type]
    data = b'INFO {"x":1}\r\nPONG\r\n'
    data += b"MSG _INBOX.a 1 4\r\n\r\n\r\n\r\nPING\r\nMSG _INBOX.a 1 r 2\r\nhi\r\n"
    for start in range(0, len(data), step):
        wire.data_received(data[start : start + step])
    assert heard.messages == [b"\r\n\r\n", b"hi"]
    assert transport.written.endswith(b"PONG\r\n")
    assert wire.framed([b"abc"]).startswith(b"PUB work _INBOX.")


@pytest.mark.parametrize("step", [1, 9, 10_000])
def test_http_wire_finds_every_answer_when_bytes_come_in_pieces(step: int) -> None:
    heard, transport = Heard(), Transport()
    wire = HttpWire(heard, "host", "/predict")
    wire.connection_made(transport)  # type: ignore[arg-type]
    assert heard.opens == 1
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nserver: x\r\n\r\n{\r\n\r}"
    data += b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    for start in range(0, len(data), step):
        wire.data_received(data[start : start + step])
    assert heard.messages == [b"{\r\n\r}", b""]
    assert wire.framed([b"{}"]).endswith(b"Content-Length: 2\r\n\r\n{}")
