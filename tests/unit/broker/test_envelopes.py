from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from broker.envelopes import Item, envelope_head, item_parts, read_envelope
from broker.frame_items import FrameToGateway, FrameToWorker
from broker.input_frames import LARGE_BYTES
from protos.dc.internal.v1.envelope_pb2 import Attach, Envelope, ToGateway, ToWorker

LARGE = bytes(range(256)) * (LARGE_BYTES // 256)
NUMBERS = st.integers(0, 2**64 - 1)
SMALL_NUMBERS = st.integers(0, 2**32 - 1)
NAMES = st.text(max_size=40)
FRAMES = st.sampled_from([b"\x22\x01", LARGE[:-1], LARGE, LARGE * 3 + b"x"])
TO_WORKER = st.builds(
    FrameToWorker, frame=FRAMES, session=NAMES, epoch=NUMBERS, attachment=NUMBERS
) | st.builds(ToWorker, session=NAMES, attach=st.builds(Attach, attempt=SMALL_NUMBERS))
TO_GATEWAY = st.builds(
    FrameToGateway,
    frame=FRAMES,
    session=NAMES,
    epoch=NUMBERS,
    attachment=NUMBERS,
    first_seq=NUMBERS,
    first_part=SMALL_NUMBERS,
    next_seq=NUMBERS,
    next_part=SMALL_NUMBERS,
    durable_seq=NUMBERS,
    window_seq=NUMBERS,
    window_bytes=NUMBERS,
    dropped=st.lists(NUMBERS, max_size=3),
    command_id=NAMES,
    send_from=NUMBERS,
) | st.builds(ToGateway, session=NAMES, epoch=NUMBERS, frame=FRAMES)
ITEMS = st.lists(TO_WORKER, max_size=4) | st.lists(TO_GATEWAY, max_size=4)


def written(sender: str, link: int, items: list[Item]) -> bytes:
    parts = [part for item in items for part in item_parts(item)]
    return b"".join((envelope_head(sender, link), *parts))


def fields(item: Any) -> dict[str, Any]:
    """What is set in an item, the frame included, whatever it is made of."""
    names = [field.name for field in ToWorker.DESCRIPTOR.fields]
    if isinstance(item, ToGateway | FrameToGateway):
        names = [field.name for field in ToGateway.DESCRIPTOR.fields]
    found: dict[str, Any] = {name: getattr(item, name, None) for name in names}
    for name in ("attach", "detach", "send_after", "attached", "released"):
        if name in found:
            found[name] = found[name] if item.HasField(name) else None
    if "dropped" in found:
        found["dropped"] = list(found["dropped"])
    return found


@given(NAMES, NUMBERS, ITEMS)
def test_envelope_is_what_protobuf_reads_when_it_was_written_here(
    sender: str, link: int, items: list[Item]
) -> None:
    envelope = Envelope.FromString(written(sender, link, items))
    assert (envelope.sender, envelope.link) == (sender, link)
    came = list(envelope.to_worker or envelope.to_gateway)
    assert list(map(fields, came)) == list(map(fields, items))


@given(NAMES, NUMBERS, ITEMS)
def test_envelope_is_read_as_it_was_written_when_frames_are_cut_off(
    sender: str, link: int, items: list[Item]
) -> None:
    came = read_envelope(written(sender, link, items))
    assert came[:2] == (sender, link)
    assert list(map(fields, came[2])) == list(map(fields, items))


@given(NAMES, NUMBERS, ITEMS)
def test_envelope_is_read_as_well_when_protobuf_wrote_it(
    sender: str, link: int, items: list[Item]
) -> None:
    envelope = Envelope.FromString(written(sender, link, items))
    came = read_envelope(envelope.SerializeToString())
    assert came[:2] == (sender, link)
    assert list(map(fields, came[2])) == list(map(fields, items))


def test_envelope_is_cut_when_its_first_frame_is_large() -> None:
    items: list[Item] = [FrameToWorker(LARGE, "a"), FrameToWorker(b"1", "b"), ToWorker(session="c")]
    _, _, came = read_envelope(written("me", 7, items))
    assert list(map(type, came)) == [FrameToWorker, ToWorker, ToWorker]
    assert list(map(fields, came)) == list(map(fields, items))


def test_item_has_what_protobuf_finds_when_something_follows_its_frame() -> None:
    attach = ToWorker(session="s", attach=Attach(attempt=3), frame=LARGE)
    frame_first = b"\x22\x80\x80\x01" + LARGE + ToWorker(session="s").SerializeToString()
    for item in (
        # Another frame, which counts, and a field that a frame does not go with.
        frame_first + ToWorker(frame=b"last").SerializeToString(),
        frame_first + ToWorker(attach=attach.attach).SerializeToString(),
    ):
        envelope = (
            envelope_head("me", 1)
            + Envelope(to_worker=[ToWorker.FromString(item)]).SerializeToString()
        )
        size = len(item)
        cut = envelope_head("me", 1) + b"\x1a" + _varint(size) + item
        _, _, [came] = read_envelope(cut)
        [expected] = Envelope.FromString(envelope).to_worker
        assert fields(came) == fields(expected)


def _varint(value: int) -> bytes:
    return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))


@given(st.integers(0, 3 * LARGE_BYTES))
def test_envelope_is_refused_when_it_is_cut_short(end: int) -> None:
    whole = written("me", 300, [FrameToWorker(LARGE, "a", 1, 2), FrameToWorker(LARGE, "b", 1, 2)])
    boundaries = {0, 4, 7, 7 + (len(whole) - 7) // 2}
    if end >= len(whole) or end in boundaries:
        return
    with pytest.raises(DecodeError):
        read_envelope(whole[:end])


@given(st.binary(max_size=64), st.integers(0, 200))
def test_envelope_is_read_or_refused_when_its_bytes_are_damaged(noise: bytes, at: int) -> None:
    whole = written("me", 300, [FrameToWorker(LARGE, "a", 1, 2), ToWorker(session="b")])
    damaged = whole[:at] + noise + whole[at + len(noise) :]
    try:
        expected = Envelope.FromString(damaged)
    except DecodeError:
        with pytest.raises(DecodeError):
            read_envelope(damaged)
        return
    sender, link, came = read_envelope(damaged)
    assert (sender, link) == (expected.sender, expected.link)
    if not (expected.to_worker and expected.to_gateway):
        items = expected.to_worker or expected.to_gateway
        assert list(map(fields, came)) == list(map(fields, items))
