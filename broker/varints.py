"""Protobuf's variable-length integers, for messages that are written by hand."""

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


_SHORT: Final = 1 << 14
_READY: Final = tuple(_long(value) for value in range(_SHORT))
"""The short ones, ready made: sequence numbers, lengths and microseconds are mostly among them."""
