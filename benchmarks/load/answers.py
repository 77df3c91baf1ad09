"""What a frame of the server answers, read without copying what it answers with.

Of a large frame, protobuf would copy the payload for nobody: a generator counts answers. It would
then cost half of what the server does, on the same cores.
"""

from __future__ import annotations

from collections.abc import Sequence

from broker.input_frames import LARGE_BYTES
from broker.varints import read_varint
from protos.dc.v1.stream_pb2 import Output, ServerFrame

_OUTPUTS, _PAYLOAD = 0x0A, 0x22
"""Tags of `ServerFrame.outputs` and `Output.payload`."""
_VARINTS = (0x08, 0x10, 0x18)
"""Tags of what is before the payload."""


def outputs_of(data: bytes) -> tuple[int, int, bool]:
    """How many outputs a ServerFrame holds, the number of the last one, and whether that failed.

    Raises:
        google.protobuf.message.DecodeError: it is no ServerFrame.
    """
    outputs = _large_outputs(data) if len(data) >= LARGE_BYTES else None
    if outputs is None:
        outputs = ServerFrame.FromString(data).outputs
    if not outputs:
        return 0, 0, False
    newest = outputs[len(outputs) - 1]
    return len(outputs), newest.seq, newest.HasField("error")


def _large_outputs(data: bytes) -> Sequence[Output] | None:
    """The outputs that a frame is, without their payloads; None: there is more in it."""
    outputs = []
    at = 0
    while at < len(data):
        if data[at] != _OUTPUTS:
            return None
        size, start = read_varint(data, at + 1)
        at = start + size
        payload = start
        while data[payload] in _VARINTS:
            _, payload = read_varint(data, payload + 1)
        if data[payload] != _PAYLOAD:
            return None
        size, behind = read_varint(data, payload + 1)
        outputs.append(Output.FromString(data[start:payload] + data[behind + size : at]))
    return outputs
