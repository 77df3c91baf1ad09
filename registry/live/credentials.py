"""Tickets and resume tokens: what the client carries, and what is stored of it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from typing import Literal

from registry.ids import is_session_id, new_session_id

Kind = Literal["ticket", "resume"]

SECRET_BYTES = 32
_ID_BYTES = len(new_session_id())
_TEXT_LENGTH = 4 * -(-(_ID_BYTES + SECRET_BYTES) // 3)


def new_credential(session: str) -> str:
    """A fresh credential of `session`: base64url, unpadded, of its id and 32 random bytes."""
    raw = session.encode() + secrets.token_bytes(SECRET_BYTES)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def session_of(credential: str) -> str | None:
    """The session that the credential claims to belong to; None when it has not the form of one."""
    if len(credential) > _TEXT_LENGTH or not credential.isascii():
        return None
    try:
        raw = base64.b64decode(credential + "=" * (-len(credential) % 4), b"-_", validate=True)
        session = raw[:_ID_BYTES].decode("ascii")
    except (binascii.Error, ValueError):
        return None
    if len(raw) != _ID_BYTES + SECRET_BYTES or not is_session_id(session):
        return None
    return session


def digest(kind: Kind, credential: str) -> str:
    """What is stored and compared instead of the credential.

    It covers the session's id and the kind, so that a secret is worth nothing in another place.
    """
    return hashlib.sha256(f"dc.{kind}.{credential}".encode()).hexdigest()
