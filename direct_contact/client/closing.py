"""Why a session could not go on: close codes that forbid a reconnect, as errors."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from direct_contact.client.errors import SessionClosed, SessionGone
from direct_contact.session import CloseCode
from foundation.errors import (
    DirectContactError,
    LimitExceeded,
    ProtocolViolation,
    Unauthenticated,
)
from protos.dc.v1 import stream_pb2 as pb

FINAL: Final[Mapping[int, type[DirectContactError]]] = MappingProxyType(
    {
        CloseCode.NORMAL: SessionClosed,
        CloseCode.BAD_TICKET: Unauthenticated,
        CloseCode.PROTOCOL: ProtocolViolation,
        CloseCode.GONE: SessionGone,
        CloseCode.ATTACHED_ELSEWHERE: SessionGone,
        CloseCode.QUOTA: LimitExceeded,
    }
)


def final_error(code: int | None, reason: str, told: pb.Error | None) -> DirectContactError:
    """The error for a close after which nobody reconnects.

    Args:
        code: of the close frame.
        reason: of the close frame.
        told: the Error that came before it, which says more.
    """
    default = SessionGone if code is not None and code >= 4500 else ProtocolViolation
    kind = FINAL.get(code or 0, default)
    said = told.message if told is not None and told.message else reason
    message = f"the server closed the session with {code}" + (f": {said}" if said else "")
    return kind(message, code=told.code if told is not None and told.code else None)
