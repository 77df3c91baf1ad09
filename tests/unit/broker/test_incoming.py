"""What a server sends, cut the same way however the network has cut it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.nats.incoming import (
    LINE_BYTES,
    PAUSE_BYTES,
    Message,
    MessageCutter,
    MessageReader,
)

OURS = {1, 22}
PAYLOADS = st.binary(max_size=40) | st.sampled_from([b"\r\n", b"MSG a 1 3\r\nxyz\r\n", b"x" * 5000])
UNITS = st.one_of(
    st.builds(
        Message,
        number=st.sampled_from(sorted(OURS)),
        subject=st.sampled_from([b"a", b"dc.w.x.in"]),
        reply=st.sampled_from([b"", b"r.1"]),
        payload=PAYLOADS,
    ),
    st.sampled_from(
        [
            b"PING\r\n",
            b"+OK\r\n",
            b"-ERR 'Stale Connection'\r\n",
            b'INFO {"a": "MSG b 1 2"}\r\n',
            # Not one of ours.
            b"MSG a 3 2\r\nhi\r\n",
            b"HMSG a 1 r 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
        ]
    ),
)


def wire(unit: Message | bytes) -> bytes:
    if isinstance(unit, bytes):
        return unit
    names = b" ".join(filter(None, (unit.subject, b"%d" % unit.number, unit.reply)))
    return b"MSG %b %d\r\n%b\r\n" % (names, len(unit.payload), unit.payload)


def cut(cutter: MessageCutter, data: bytes, ends: list[int]) -> list[Message | bytes]:
    """Everything that the cutter finds in `data`, fed in pieces that end there."""
    found: list[Message | bytes] = []
    start = 0
    for end in sorted({min(end, len(data)) for end in ends} | {len(data)}):
        if end > start:
            cutter.feed(data[start:end])
            while (unit := cutter.take()) is not None:
                found.append(unit)
        start = end
    return found


@given(st.lists(UNITS, max_size=6), st.lists(st.integers(0, 6000), max_size=8))
def test_cutter_finds_every_unit_when_reads_end_anywhere(
    units: list[Message | bytes], ends: list[int]
) -> None:
    cutter = MessageCutter(OURS.__contains__)
    assert cut(cutter, b"".join(map(wire, units)), ends) == units


@pytest.mark.parametrize(
    "line",
    [b"MSG a 1\r\n", b"MSG a 1 -5\r\n", b"MSG a one 5\r\n", b"HMSG a\r\n", b"x" * LINE_BYTES],
)
def test_cutter_passes_everything_on_when_it_does_not_understand(line: bytes) -> None:
    cutter = MessageCutter(OURS.__contains__)
    more = wire(Message(1, b"a", b"", b"payload"))
    units = cut(cutter, b"PING\r\n" + line + more, [6 + len(line)])
    assert units[0] == b"PING\r\n"
    assert all(isinstance(unit, bytes) for unit in units)
    assert b"".join(units) == b"PING\r\n" + line + more  # type: ignore[arg-type]  # as asserted


async def test_reader_delivers_what_came_before_it_was_started() -> None:
    reader = MessageReader(loop=asyncio.get_running_loop())
    got: list[Message] = []
    message = Message(1, b"a", b"r", b"payload")
    reader.feed_data(b"PONG\r\n" + wire(message) + b"PI")
    assert await reader.readline() == b"PONG\r\n"
    reader.start(OURS.__contains__, got.append)
    assert got == [message]
    reader.feed_data(b"NG\r\n" + wire(message))
    assert got == [message, message]
    assert await reader.read(100) == b"PING\r\n"


class Transport(asyncio.ReadTransport):
    """A socket that always has more."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True
        self.pauses = 0

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False
        self.pauses += 1

    def resume_reading(self) -> None:
        self.reading = True


async def test_reader_lets_others_run_when_much_came() -> None:
    reader, transport = MessageReader(loop=asyncio.get_running_loop()), Transport()
    reader.set_transport(transport)
    delivered: list[Message] = []
    reader.start(OURS.__contains__, delivered.append)
    message = wire(Message(1, b"a", b"", b"x" * (PAUSE_BYTES // 4)))
    for _ in range(3):
        reader.feed_data(message)
    assert transport.reading
    reader.feed_data(message)
    assert not transport.reading
    assert len(delivered) == 4
    await asyncio.sleep(0)
    assert transport.reading
    reader.feed_data(message)
    assert transport.pauses == 1


async def test_reader_stays_paused_when_what_is_not_ours_waits_to_be_read() -> None:
    reader, transport = MessageReader(loop=asyncio.get_running_loop(), limit=100), Transport()
    reader.set_transport(transport)
    reader.start(OURS.__contains__, lambda _message: None)
    other = b"MSG a 3 %d\r\n%b\r\n" % (PAUSE_BYTES, bytes(PAUSE_BYTES))
    reader.feed_data(other)
    assert not transport.reading
    await asyncio.sleep(0)
    assert not transport.reading
    assert await reader.readexactly(len(other)) == other
    assert transport.reading
