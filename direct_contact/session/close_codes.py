"""Why a stream was closed, in ranges that tell the client what to do."""

from __future__ import annotations

from enum import IntEnum

from foundation.errors import DirectContactError, LimitExceeded, ProtocolViolation


class CloseCode(IntEnum):
    """4000 to 4499: reconnect. 4500 to 4999: don't."""

    NORMAL = 1000
    DRAINING = 4001
    TOO_SLOW = 4002
    SILENT = 4003
    SUPERSEDED = 4004
    EXPIRED = 4005
    UNAVAILABLE = 4006
    BAD_TICKET = 4500
    PROTOCOL = 4501
    GONE = 4502
    ATTACHED_ELSEWHERE = 4503
    QUOTA = 4504


def code_for(error: DirectContactError) -> CloseCode:
    """The code that goes with an error which ends a stream."""
    if error.code == "credit_exceeded" or isinstance(error, ProtocolViolation):
        return CloseCode.PROTOCOL
    if isinstance(error, LimitExceeded):
        return CloseCode.QUOTA
    return CloseCode.UNAVAILABLE if error.retryable else CloseCode.GONE


def may_reconnect(code: int | None) -> bool:
    """True when a client that was closed with `code` should try again.

    A link that broke without a code is worth a try; so is a close by a proxy (1001, 1006, 1011 to
    1014). A superseded client tries with its resume token alone: that heals a race between two of
    its own connections, and ends with a 401 when somebody else holds the session now.
    """
    if code is None:
        return True
    if code < 4000:
        return code not in {1000, 1002, 1003, 1007, 1008, 1009, 1010}
    return code < 4500
