"""Envelopes as bytes: a large frame is neither copied into a message nor parsed out of one.

Protobuf copies a frame into its item, the item into the bytes of an envelope, and at the receiver
twice again. Here an item that holds a frame is written as `frame`, then its other fields, which is
as good an order as any. So a frame can be handed to the socket as it is, and a receiver finds it
where its item begins. An envelope that is laid out in another way is parsed by protobuf.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from broker.frame_items import FrameToGateway, FrameToWorker
from broker.input_frames import LARGE_BYTES
from broker.varints import read_varint, varint
from protos.dc.internal.v1.envelope_pb2 import Envelope, ToGateway, ToWorker

Item = ToWorker | FrameToWorker | ToGateway | FrameToGateway

_SENDER: Final = 0x0A
_LINK: Final = 0x10
_FRAME: Final = 0x22
"""The tag of `ToWorker.frame`, and of `ToGateway.frame`."""
_TO_WORKER, _TO_GATEWAY = 0x1A, 0x22
_TAGS: Final[dict[type[Item], bytes]] = {
    ToWorker: b"\x1a",
    FrameToWorker: b"\x1a",
    ToGateway: b"\x22",
    FrameToGateway: b"\x22",
}
"""Of `Envelope.to_worker` and `Envelope.to_gateway`."""


def item_parts(item: Item) -> tuple[bytes, ...]:
    """The item as an entry of an envelope, in parts; a large frame is one of them, as it is."""
    tag = _TAGS[type(item)]
    if isinstance(item, FrameToWorker | FrameToGateway):
        frame, others = item.frame, item.others()
        before = b"\x22" + varint(len(frame))
        size = varint(len(before) + len(frame) + len(others))
        return (tag + size + before, frame, others)
    data = item.SerializeToString()
    return (tag, varint(len(data)), data)


def envelope_head(sender: str, link: int) -> bytes:
    """What comes before the items."""
    return Envelope(sender=sender, link=link).SerializeToString()


def read_envelope(payload: bytes) -> tuple[str, int, Sequence[Any]]:
    """The sender, the number, and the items, which go one way all.

    Raises:
        google.protobuf.message.DecodeError: it is no envelope.
    """
    if len(payload) >= LARGE_BYTES:
        try:
            head = _head_bytes(payload)
            items = _cut_items(payload, head) if head else None
        except IndexError:  # It ends too early, which protobuf will tell.
            items = None
        if items is not None:
            envelope = Envelope.FromString(payload[:head])
            return envelope.sender, envelope.link, items
    envelope = Envelope.FromString(payload)
    return envelope.sender, envelope.link, envelope.to_worker or envelope.to_gateway


def _head_bytes(payload: bytes) -> int:
    """Where the items begin; 0: it is laid out in another way."""
    if payload[0] != _SENDER:
        return 0
    size, at = read_varint(payload, 1)
    at += size
    if payload[at] != _LINK:
        return 0
    return read_varint(payload, at + 1)[1]


def _cut_items(payload: bytes, at: int) -> list[Any] | None:
    """The items; None: nothing is gained by cutting, or it is laid out in another way."""
    items: list[Any] = []
    kind, end = payload[at], len(payload)
    if kind not in (_TO_WORKER, _TO_GATEWAY):
        return None
    while at < end:
        if payload[at] != kind:
            return None
        size, start = read_varint(payload, at + 1)
        at = start + size
        if at > end:
            return None
        item = _cut_frame(payload, kind, start, at)
        if item is None:
            if not items:
                return None
            message = ToWorker if kind == _TO_WORKER else ToGateway
            item = message.FromString(payload[start:at])
        items.append(item)
    return items


def _cut_frame(payload: bytes, kind: int, start: int, stop: int) -> Item | None:
    """The item between `start` and `stop`; None: it is for protobuf."""
    if start == stop or payload[start] != _FRAME:
        return None
    size, start = read_varint(payload, start + 1)
    others = start + size
    if size < LARGE_BYTES or others > stop:
        return None
    if kind == _TO_WORKER:
        return FrameToWorker.of(payload[start:others], ToWorker.FromString(payload[others:stop]))
    return FrameToGateway.of(payload[start:others], ToGateway.FromString(payload[others:stop]))
