"""Every error of Direct Contact, in one tree::

    DirectContactError
    ├── CallerError          the caller's fault: do not repeat it unchanged
    │   ├── InvalidInput     a field is wrong; names it, the limit and the value
    │   ├── Unauthenticated  no credential, or one that is unknown, spent or expired
    │   ├── Forbidden        the credential is good, but not for this
    │   ├── NotFound         there is no such thing
    │   ├── Conflict         it contradicts what is there
    │   ├── LimitExceeded    a quota, a rate or a size
    │   └── ProtocolViolation  the peer broke the stream's rules
    ├── Unavailable          something we need is not there now: try again later
    └── InternalError        our fault; its text is never shown to a client

Third-party exceptions are translated at the adapter. Each edge maps these classes to HTTP
statuses or close codes in one table.
"""

from __future__ import annotations

from typing import ClassVar, Final


class DirectContactError(Exception):
    """The root. `code` is stable; `message` is for people.

    Args:
        message: names the field, the limit and the value.
        code: a more exact code than the class's own, in lower_snake_case.
        field: the path of the field at fault, such as ``layers.0.units``.
        retry_after_s: how long to wait before trying again.
    """

    default_code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.field = field
        self.retry_after_s = retry_after_s


class CallerError(DirectContactError):
    """The caller's fault: repeating it unchanged fails again."""

    default_code = "bad_request"


class InvalidInput(CallerError):
    """A value is wrong: its type, its shape, its size, its range."""

    default_code = "invalid_input"


class Unauthenticated(CallerError):
    """No credential, or one that is unknown, spent or expired."""

    default_code = "unauthenticated"


class Forbidden(CallerError):
    """The credential is good, but its role does not allow this."""

    default_code = "forbidden"


class NotFound(CallerError):
    """There is no such thing, or it belongs to another tenant."""

    default_code = "not_found"


class Conflict(CallerError):
    """It contradicts what is there: a name that is taken, a thing that is in use."""

    default_code = "conflict"


class LimitExceeded(CallerError):
    """A quota, a rate or a size is exceeded."""

    default_code = "limit_exceeded"


class ProtocolViolation(CallerError):
    """The peer broke the rules of the stream."""

    default_code = "protocol_violation"


class Unavailable(DirectContactError):
    """Something we need is not there now: NATS, Redis, the database, a worker."""

    default_code = "unavailable"
    retryable = True


class InternalError(DirectContactError):
    """Our own fault. Clients read a fixed text instead of this one's."""

    default_code = "internal_error"
    retryable = True


_BY_CODE: Final[dict[str, type[DirectContactError]]] = {
    one.default_code: one
    for one in (InvalidInput, Forbidden, NotFound, Conflict, LimitExceeded, InternalError)
}


def told(
    code: str, message: str, *, retryable: bool, retry_after_s: float | None = None
) -> DirectContactError:
    """An error as a worker told it: of the class that its code names.

    A code of its own means Unavailable where repeating may help, or else Conflict.
    """
    kind = _BY_CODE.get(code, Unavailable if retryable else Conflict)
    return kind(message, code=code or None, retry_after_s=retry_after_s)
