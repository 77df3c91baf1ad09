"""Pages of lists, by keyset: a cursor is the sort key of the last item of the page before."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from foundation.errors import InvalidInput

MAX_PAGE = 200
ItemT = TypeVar("ItemT")
OtherT = TypeVar("OtherT")
KeyT = TypeVar("KeyT", str, int)


@dataclass(frozen=True, slots=True)
class Page(Generic[ItemT]):
    """Some items of a list, and the cursor of what follows them; None: nothing does."""

    items: list[ItemT]
    next_cursor: str | None

    def map(self, convert: Callable[[ItemT], OtherT]) -> Page[OtherT]:
        """The same page of other things."""
        return Page([convert(item) for item in self.items], self.next_cursor)


def cut(rows: Sequence[ItemT], limit: int, key: Callable[[ItemT], str | int]) -> Page[ItemT]:
    """Make a page of `limit` items from up to `limit + 1` rows."""
    items = list(rows[:limit])
    return Page(items, encode_cursor(key(items[-1])) if len(rows) > limit else None)


def encode_cursor(key: str | int) -> str:
    """An opaque text for a sort key."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None, kind: type[KeyT]) -> KeyT | None:
    """The sort key of a cursor.

    Raises:
        InvalidInput: it is not a cursor of this list.
    """
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        key = None
    if type(key) is not kind:
        raise InvalidInput(
            "cursor is not a next_cursor of this list", field="cursor", code="bad_cursor"
        )
    return key
