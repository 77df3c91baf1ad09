from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from direct_contact.session import START, Cursor, after, before

cursors = st.builds(Cursor, st.integers(1, 1 << 60), st.integers(0, 1 << 30))


@given(cursors)
def test_after_is_the_inverse_of_before(cursor: Cursor) -> None:
    assert after(*before(cursor)) == cursor


def test_nothing_lies_before_the_start() -> None:
    assert before(START) == (0, 0, False)
    assert after(0, 0, False) == after(0, 7, True) == START


def test_cursor_is_behind_its_output() -> None:
    assert after(3, 1, False) == Cursor(3, 2)
    assert after(3, 1, True) == Cursor(4, 0)
    assert before(Cursor(3, 2)) == (3, 1, False)
    assert before(Cursor(4, 0)) == (3, 0, True)
