"""Errors as they travel: in frames, in answers to commands, between services."""

from __future__ import annotations

from foundation.errors import DirectContactError
from protos.dc.v1.stream_pb2 import Error


def error_message(error: DirectContactError) -> Error:
    """The error as a message."""
    return Error(
        code=error.code,
        message=error.message,
        retryable=error.retryable,
        retry_after_ms=int((error.retry_after_s or 0) * 1000),
    )
