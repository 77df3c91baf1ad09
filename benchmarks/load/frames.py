"""Messages of a client, prebuilt but for the sequence number.

A frame of `dc.v1` with one input is the same bytes every time, except for the number. They are laid
out once, masked once, and each message costs a join of three pieces. All four bytes of the masking
key are equal, so that the number can be masked wherever it lies; a server unmasks it as any other.
"""

from __future__ import annotations

MASK_BYTE = 0x5A
MASK_KEY = bytes([MASK_BYTE] * 4)
MAX_SEQ = (1 << 28) - 1

_MASKED = bytes(byte ^ MASK_BYTE for byte in range(256))
_INPUTS, _ACK = b"\x0a", b"\x1a"
_SEQ, _PAYLOAD, _LAST = b"\x08", b"\x12", b"\x18\x01"
_BINARY = 0x82


def varint(number: int) -> bytes:
    """A protobuf varint."""
    if number < 0x80:
        return bytes((number,))
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    if number < 0x200000:
        return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def masked(data: bytes) -> bytes:
    """`data` as it travels under our masking key."""
    return data.translate(_MASKED)


def websocket_header(size: int, *, opcode: int = _BINARY) -> bytes:
    """The header of a client's message of `size` bytes, with the masking key."""
    if size < 126:
        length = bytes((0x80 | size,))
    elif size < 0x10000:
        length = b"\xfe" + size.to_bytes(2)
    else:
        length = b"\xff" + size.to_bytes(8)
    return bytes((opcode,)) + length + MASK_KEY


def acknowledgement(seq: int) -> bytes:
    """The field `ack` of a ClientFrame: everything up to the last part of `seq` arrived."""
    body = _SEQ + varint(seq) + _LAST
    return _ACK + varint(len(body)) + body


class InputMessages:
    """Makes messages that carry the same payload under growing numbers.

    Args:
        payload: a serialized `Payload`.
        websocket: whole masked WebSocket messages; otherwise bare ClientFrames.
    """

    def __init__(self, payload: bytes, *, websocket: bool) -> None:
        self._websocket = websocket
        tail = _PAYLOAD + varint(len(payload)) + payload
        self._tail = masked(tail) if websocket else tail
        self._heads: list[bytes] = []
        """The field's beginning, by the number's length in bytes."""
        self._whole: list[bytes] = []
        """The same with the header of a message that holds nothing else."""
        for digits in range(5):
            body = len(_SEQ) + digits + len(tail)
            head = _INPUTS + varint(body) + _SEQ
            size = len(head) + digits + len(tail)
            self._heads.append(masked(head) if websocket else head)
            self._whole.append((websocket_header(size) if websocket else b"") + self._heads[-1])

    def one(self, seq: int) -> bytes:
        """A message with the input `seq` and nothing else."""
        number = varint(seq)
        head = self._whole[len(number)]
        if self._websocket:
            number = number.translate(_MASKED)
        return head + number + self._tail

    def bundle(self, first: int, count: int, acknowledged: int = 0) -> bytes:
        """A message with `count` inputs from `first` on, and an acknowledgement unless it is 0."""
        parts = []
        for seq in range(first, first + count):
            number = varint(seq)
            parts.append(self._heads[len(number)])
            parts.append(masked(number) if self._websocket else number)
            parts.append(self._tail)
        if acknowledged:
            ack = acknowledgement(acknowledged)
            parts.append(masked(ack) if self._websocket else ack)
        body = b"".join(parts)
        return websocket_header(len(body)) + body if self._websocket else body


class ConstantMessages:
    """Messages without a number, all alike.

    Args:
        message: what is sent.
        websocket: as whole masked WebSocket messages.
    """

    def __init__(self, message: bytes, *, websocket: bool) -> None:
        self._message = websocket_message(message) if websocket else message

    def one(self, seq: int) -> bytes:
        """A message."""
        del seq
        return self._message

    def bundle(self, first: int, count: int, acknowledged: int = 0) -> bytes:
        """As many messages."""
        del first, acknowledged
        return self._message * count


def websocket_message(data: bytes, *, opcode: int = _BINARY) -> bytes:
    """Any message of a client."""
    return websocket_header(len(data), opcode=opcode) + masked(data)
