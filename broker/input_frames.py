"""Client frames of one large input, read without copying it.

A client sends large inputs in frames of their own. Protobuf would copy the payload when it parses
the frame, and again for whoever asks for it; a gateway wants to know no more than its number.
"""

from __future__ import annotations

from typing import Final, cast

from broker.varints import read_varint
from protos.dc.v1.stream_pb2 import ClientFrame

LARGE_BYTES: Final = 16 * 1024
"""From here on, reading by hand (1.5 µs) costs less than the copies that protobuf makes."""

INPUTS: Final = 0x0A
"""The tag of `ClientFrame.inputs`."""
_SEQ, _PAYLOAD = 0x08, 0x12
"""Tags of `Input`."""


class LargeInput:
    """Reads like an `Input` of a number and a payload."""

    __slots__ = ("_frame", "_start", "seq")

    target: Final = b""
    budget_ms: Final = 0
    skip: Final = False

    def __init__(self, seq: int, frame: bytes, start: int) -> None:
        self.seq = seq
        self._frame = frame
        self._start = start

    @property
    def payload(self) -> bytes:
        """A copy: the end of the frame."""
        return self._frame[self._start :]


class LargeInputFrame:
    """Reads like a `ClientFrame` of one input, and nothing else."""

    __slots__ = ("inputs",)

    def __init__(self, one: LargeInput) -> None:
        self.inputs = (one,)

    def HasField(self, _: str) -> bool:  # noqa: N802  # protobuf's name
        """None of the other fields is set."""
        return False


def read_client_frame(data: bytes) -> ClientFrame:
    """The frame, or what reads like it; nobody changes it.

    Raises:
        google.protobuf.message.DecodeError: it is no ClientFrame.
    """
    if len(data) >= LARGE_BYTES and data[0] == INPUTS:
        try:
            one = _large_input(data)
        except IndexError:  # It ends too early, which protobuf will tell.
            one = None
        if one is not None:
            return cast("ClientFrame", LargeInputFrame(one))
    return ClientFrame.FromString(data)


def _large_input(data: bytes) -> LargeInput | None:
    """The input that the frame is; None: there is more in it, or in another order."""
    end = len(data)
    size, at = read_varint(data, 1)
    if at + size != end or data[at] != _SEQ:
        return None
    seq, at = read_varint(data, at + 1)
    if data[at] != _PAYLOAD or seq >= 1 << 64:
        return None
    size, at = read_varint(data, at + 1)
    return LargeInput(seq, data, at) if at + size == end else None
