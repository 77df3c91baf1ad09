from __future__ import annotations

import pytest

from direct_contact.session import CloseCode
from direct_contact.session.close_codes import code_for, may_reconnect
from foundation.errors import (
    DirectContactError,
    InternalError,
    LimitExceeded,
    NotFound,
    ProtocolViolation,
    Unavailable,
)


@pytest.mark.parametrize("code", list(CloseCode))
def test_own_codes_tell_by_their_range(code: CloseCode) -> None:
    assert may_reconnect(code) == (4000 <= code < 4500)


@pytest.mark.parametrize("code", [None, 1001, 1005, 1006, 1011, 1012, 1013, 1014, 4000, 4499])
def test_client_comes_back_when_nobody_said_that_it_must_not(code: int | None) -> None:
    assert may_reconnect(code)


@pytest.mark.parametrize("code", [1000, 1002, 1003, 1007, 1008, 1009, 1010, 4500, 4999, 5000])
def test_client_stays_away_when_it_was_at_fault_or_done(code: int) -> None:
    assert not may_reconnect(code)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProtocolViolation("seq", code="seq_gap"), CloseCode.PROTOCOL),
        (LimitExceeded("seq", code="credit_exceeded"), CloseCode.PROTOCOL),
        (LimitExceeded("command"), CloseCode.QUOTA),
        (Unavailable("no worker"), CloseCode.UNAVAILABLE),
        (NotFound("ended", code="session_ended"), CloseCode.GONE),
        (InternalError("ours"), CloseCode.UNAVAILABLE),
    ],
)
def test_code_tells_whose_fault_the_error_is(error: DirectContactError, code: CloseCode) -> None:
    assert code_for(error) is code
