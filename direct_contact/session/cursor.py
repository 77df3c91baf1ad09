"""Places in the sequence of outputs."""

from __future__ import annotations

from typing import NamedTuple


class Cursor(NamedTuple):
    """The next output that is due: part `part` of the answer to input `seq`."""

    seq: int
    part: int


START = Cursor(1, 0)
"""Nothing has been answered."""


def after(seq: int, part: int, last: bool) -> Cursor:
    """The cursor behind the output (`seq`, `part`), which was the `last` of its input or not.

    `seq` 0 stands for "no output yet".
    """
    if seq == 0:
        return START
    return Cursor(seq + 1, 0) if last else Cursor(seq, part + 1)


def before(cursor: Cursor) -> tuple[int, int, bool]:
    """The output just before the cursor, as (seq, part, last); the inverse of `after`.

    The part of a complete answer is not known from a cursor: 0 stands in, and `last` makes it
    meaningless.
    """
    if cursor.part == 0:
        return cursor.seq - 1, 0, cursor.seq > 1
    return cursor.seq, cursor.part - 1, False
