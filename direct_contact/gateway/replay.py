"""Frames that are sent once more, changed where the history asks for it. None of it is hot."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from direct_contact.session import Cursor
from protos.dc.v1.stream_pb2 import ClientFrame, ServerFrame


def without_dropped(frame: bytes, dropped: AbstractSet[int]) -> bytes:
    """The client's frame, with `skip` on the inputs that were answered as dropped.

    Their answers were seen: computing them now would show a different history.
    """
    if not dropped:
        return frame
    parsed = ClientFrame.FromString(frame)
    marked = [item for item in parsed.inputs if item.seq in dropped]
    if not marked:
        return frame
    for item in marked:
        item.skip = True
        item.payload = item.target = b""
    return parsed.SerializeToString()


def without_inputs(frame: bytes) -> bytes:
    """What the client's frame holds beside its inputs."""
    rest = ClientFrame.FromString(frame)
    del rest.inputs[:]
    return rest.SerializeToString()


def outputs_from(frame: bytes, due: Cursor) -> bytes:
    """The worker's frame without the outputs before `due`, which went out before."""
    parsed = ServerFrame.FromString(frame)
    kept = [output for output in parsed.outputs if (output.seq, output.part) >= due]
    del parsed.outputs[:]
    parsed.outputs.extend(kept)
    return parsed.SerializeToString()
