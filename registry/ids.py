"""Identifiers: unguessable, readable, sortable by the time they were made."""

from __future__ import annotations

import secrets
from typing import NewType

from foundation.clock import unix_ms

SessionId = NewType("SessionId", str)

# Crockford's base 32 in lower case: its characters sort as their values do, and none is mistaken
# for another.
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 26
_RANDOM_BITS = 80
_PREFIX = "ses_"


def new_session_id() -> SessionId:
    """``ses_`` and 26 characters: 48 bits of milliseconds, then 80 random bits."""
    number = unix_ms() << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    digits = (_DIGITS[number >> 5 * i & 31] for i in reversed(range(_LENGTH)))
    return SessionId(_PREFIX + "".join(digits))


def is_session_id(text: str) -> bool:
    """Whether `text` has the form that `new_session_id` gives."""
    return (
        len(text) == len(_PREFIX) + _LENGTH
        and text.startswith(_PREFIX)
        and all(character in _DIGITS for character in text[len(_PREFIX) :])
    )
