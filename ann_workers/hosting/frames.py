"""Outputs as bytes, ready to be bundled.

Concatenating serialized protobuf messages merges them, so a frame with many outputs is the bytes
of many frames with one output each: an output is serialized once, kept as bytes, and joined.
"""

from __future__ import annotations

from typing import Final

from foundation.errors import DirectContactError
from protos.dc.v1.stream_pb2 import Error, Output, ServerFrame

DROPPED_CODES: Final = frozenset({"dropped", "cancelled", "deadline_exceeded"})
"""Errors of inputs that were not computed, and must not be when their history is replayed."""


def output_frame(
    seq: int, payload: bytes, *, queue_us: int, compute_us: int, part: int = 0, last: bool = True
) -> bytes:
    """A ServerFrame that holds one answer."""
    return ServerFrame(
        outputs=(
            Output(
                seq=seq,
                part=part,
                last=last,
                payload=payload,
                queue_us=queue_us,
                compute_us=compute_us,
            ),
        )
    ).SerializeToString()


def failure_frame(seq: int, error: DirectContactError, *, part: int = 0) -> bytes:
    """A ServerFrame that holds one failed input's error."""
    return ServerFrame(
        outputs=(Output(seq=seq, part=part, last=True, error=error_message(error)),)
    ).SerializeToString()


def error_message(error: DirectContactError) -> Error:
    """The error as it travels."""
    return Error(
        code=error.code,
        message=error.message,
        retryable=error.retryable,
        retry_after_ms=int((error.retry_after_s or 0) * 1000),
    )
