"""Who may open a stream: the credential beside the subprotocol, or in the Authorization header."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final, Literal

from direct_contact.gateway.sockets import Refusal, UpgradeRequest
from foundation.errors import CallerError, DirectContactError, Unauthenticated, Unavailable

PATH: Final = "/v1/stream"
MAX_CREDENTIAL_CHARS: Final = 512

Kind = Literal["ticket", "resume"]


@dataclass(frozen=True, slots=True)
class Credential:
    """A ticket of the REST API, or the resume token of the last Welcome."""

    kind: Kind
    text: str


def credential(request: UpgradeRequest) -> Credential:
    """The request's credential.

    Raises:
        Unauthenticated: there is none, or it is not one.
    """
    offered = [name for name in request.subprotocols if name.startswith("dc.") and name != "dc.v1"]
    if not offered and request.authorization.lower().startswith("bearer "):
        offered = [request.authorization[7:].strip()]
    if len(offered) != 1:
        raise Unauthenticated(
            "one credential is needed: a second subprotocol beside dc.v1 or the header "
            f"Authorization: Bearer, as dc.ticket.… or dc.resume.…; {len(offered)} came",
            code="credential_missing",
        )
    prefix, _, text = offered[0].rpartition(".")
    if prefix == "dc.ticket":
        return Credential("ticket", _checked(text))
    if prefix == "dc.resume":
        return Credential("resume", _checked(text))
    raise Unauthenticated(
        "the credential must begin with dc.ticket. or dc.resume.", code="credential_malformed"
    )


def _checked(text: str) -> str:
    malformed = Unauthenticated("the credential is not base64url text", code="credential_malformed")
    if not text or len(text) > MAX_CREDENTIAL_CHARS:
        raise malformed
    try:
        base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise malformed from None
    return text


def refusal(error: DirectContactError) -> Refusal:
    """The HTTP answer that refuses an upgrade because of `error`."""
    if isinstance(error, Unauthenticated):
        return Refusal(
            401, f"{error.code}: {error.message}", (("WWW-Authenticate", 'Bearer realm="dc.v1"'),)
        )
    if isinstance(error, Unavailable):
        seconds = max(1, round(error.retry_after_s or 1.0))
        return Refusal(503, f"{error.code}: {error.message}", (("Retry-After", str(seconds)),))
    if isinstance(error, CallerError):
        return Refusal(400, f"{error.code}: {error.message}")
    return Refusal(500, "internal_error: the service failed; try again")
