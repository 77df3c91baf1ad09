"""Protobuf's variable-length integers, for messages that are written or read by hand."""

from __future__ import annotations

from typing import Final


def varint(value: int) -> bytes:
    """`value`, which is not negative, as protobuf writes it."""
    if value < _SHORT:
        return _READY[value]
    if value < 1 << 21:
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    return _long(value)


def _long(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The integer that begins at `at`, and where it ends.

    Raises:
        IndexError: it does not end within `data`, or is longer than protobuf allows.
    """
    value = data[at]
    at += 1
    if value < 0x80:
        return value, at
    value &= 0x7F
    for shift in range(7, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise IndexError("a varint of more than ten bytes")


_SHORT: Final = 1 << 14
_READY: Final = tuple(_long(value) for value in range(_SHORT))
"""The short ones, ready made: sequence numbers, lengths and microseconds are mostly among them."""
