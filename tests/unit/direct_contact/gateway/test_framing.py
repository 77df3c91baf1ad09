"""The frame cutter, over frames as `websockets` writes them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from direct_contact.gateway.framing import FrameCutter, binary_header

MAX_BYTES = 70_000
SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, MAX_BYTES)
PING = Frame(Opcode.PING, b"?").serialize(mask=True)


def binary(data: bytes, *, fin: bool = True) -> bytes:
    return Frame(Opcode.BINARY, data, fin=fin).serialize(mask=True)


def cut(chunks: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """Everything that is taken, in order."""
    cutter = FrameCutter(MAX_BYTES)
    found: list[tuple[str, bytes]] = []
    for chunk in chunks:
        cutter.feed(chunk)
        while True:
            messages, other = cutter.take()
            found += [("message", message) for message in messages]
            if not other:
                break
            found.append(("other", other))
    return found


@pytest.mark.parametrize("size", SIZES)
def test_framing_takes_a_message_of_any_length_when_it_is_whole(size: int) -> None:
    assert cut([binary(b"m" * size)]) == [("message", b"m" * size)]


@pytest.mark.parametrize("size", SIZES)
def test_framing_holds_a_message_when_its_beginning_comes_byte_by_byte(size: int) -> None:
    wire = binary(b"m" * size)
    chunks = [wire[i : i + 1] for i in range(min(20, len(wire)))]
    assert cut([*chunks, wire[20:]]) == [("message", b"m" * size)]


def test_framing_leaves_other_frames_whole_when_they_lie_between_messages() -> None:
    text = Frame(Opcode.TEXT, b"text").serialize(mask=True)
    wire = binary(b"1") + PING + text + binary(b"2") + PING
    assert cut([wire]) == [
        ("message", b"1"),
        ("other", PING),
        ("other", text),
        ("message", b"2"),
        ("other", PING),
    ]


def test_framing_leaves_every_data_frame_when_a_message_is_fragmented() -> None:
    first = binary(b"1", fin=False)
    middle = Frame(Opcode.CONT, b"2", fin=False).serialize(mask=True)
    last = Frame(Opcode.CONT, b"3").serialize(mask=True)
    intruder = binary(b"not now")
    assert cut([first + PING + middle + intruder + last + binary(b"4")]) == [
        ("other", first),
        ("other", PING),
        ("other", middle),
        ("other", intruder),
        ("other", last),
        ("message", b"4"),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        Frame(Opcode.BINARY, b"unmasked").serialize(mask=False),
        b"\xc2" + binary(b"reserved bit")[1:],
        b"\x83" + binary(b"reserved opcode")[1:],
        b"\x89\xfe\x00\x7e",  # a Ping of 126 bytes
        b"\x09" + PING[1:],  # a Ping in fragments
        binary(b"m" * (MAX_BYTES + 1))[:14],
    ],
)
def test_framing_gives_up_at_once_when_a_header_is_wrong(wrong: bytes) -> None:
    later = binary(b"2")
    assert cut([binary(b"1") + wrong, later]) == [
        ("message", b"1"),
        ("other", wrong),
        ("other", later),
    ]


FRAMES = st.one_of(
    st.builds(binary, st.binary(max_size=300)),
    st.builds(
        lambda data: binary(data[:1], fin=False) + Frame(Opcode.CONT, data).serialize(mask=True),
        st.binary(max_size=300),
    ),
    st.builds(
        lambda opcode, data: Frame(opcode, data).serialize(mask=True),
        st.sampled_from((Opcode.PING, Opcode.PONG, Opcode.TEXT)),
        st.binary(max_size=125),
    ),
)


@given(frames=st.lists(FRAMES, max_size=12), cuts=st.lists(st.integers(0, 4000), max_size=12))
def test_framing_loses_nothing_when_the_stream_is_cut_anywhere(
    frames: list[bytes], cuts: list[int]
) -> None:
    wire = b"".join(frames)
    places = [0, *sorted(min(place, len(wire)) for place in cuts), len(wire)]
    chunks = [wire[start:end] for start, end in itertools.pairwise(places)]
    assert cut(chunks) == cut([wire])
    assert sum(len(data) for kind, data in cut(chunks) if kind == "other") == sum(
        len(frame) for frame in frames if frame[0] != 0x82
    )


@pytest.mark.parametrize("size", SIZES)
def test_binary_header_is_that_of_the_protocol_when_a_server_sends(size: int) -> None:
    whole = Frame(Opcode.BINARY, b"m" * size).serialize(mask=False)
    assert binary_header(size) + b"m" * size == whole
