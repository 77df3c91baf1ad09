"""What can go wrong with a session, under the one root::

DirectContactError
├── InputFailed          one input was answered with an error; the stream goes on
├── SessionLost          a checkpoint is gone: the effect of a range of inputs with it
├── AnswerTimeout        an answer took longer than the caller would wait
└── SessionOver          the session takes no more inputs
    ├── SessionClosed    it was closed or detached, here or by REST
    └── SessionGone      it could not be resumed
"""

from __future__ import annotations

from foundation.errors import DirectContactError


class InputFailed(DirectContactError):
    """The input `seq` was answered with an error; the session goes on.

    `code` is the server's: `invalid_input`, `deadline_exceeded`, `cancelled`, …
    """

    default_code = "input_failed"

    def __init__(self, message: str, *, seq: int, code: str, retryable: bool = False) -> None:
        super().__init__(message, code=code)
        self.seq = seq
        self.retryable = retryable  # type: ignore[misc]  # the server knows, input by input


class SessionLost(DirectContactError):
    """The effect of the inputs `lost_from` to `lost_to` is gone; the session goes on after them.

    Each input that had no answer by then gets this error for an answer.
    """

    default_code = "session_lost"

    def __init__(self, lost_from: int, lost_to: int, *, seq: int) -> None:
        super().__init__(
            f"the effect of inputs {lost_from} to {lost_to} is lost, and the answer to {seq}"
        )
        self.lost_from = lost_from
        self.lost_to = lost_to
        self.seq = seq


class AnswerTimeout(DirectContactError, TimeoutError):
    """No answer came in the time the caller gave; the input was cancelled."""

    default_code = "answer_timeout"
    retryable = True


class SessionOver(DirectContactError):
    """The session takes no more inputs, and what was not answered never will be."""

    default_code = "session_over"


class SessionClosed(SessionOver):
    """It was closed or detached: by this client, by a command or by an operator."""

    default_code = "session_closed"


class SessionGone(SessionOver):
    """It could not be resumed: out of reach for too long, ended, or held by somebody else."""

    default_code = "session_gone"
