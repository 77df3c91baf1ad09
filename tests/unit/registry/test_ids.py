from __future__ import annotations

import pytest

from registry import ids


def test_session_id_has_its_form_when_made() -> None:
    made = ids.new_session_id()
    assert len(made) == 30
    assert ids.is_session_id(made)


def test_session_ids_sort_by_time_when_made_later(monkeypatch: pytest.MonkeyPatch) -> None:
    times = [0, 1, 31, 32, 1_700_000_000_000, 1_700_000_000_001, 2**48 - 1]
    made = []
    for time in times:
        monkeypatch.setattr(ids, "unix_ms", lambda time=time: time)
        made.append(ids.new_session_id())
    assert made == sorted(made)
    assert {len(one) for one in made} == {30}


def test_session_ids_differ_when_made_in_the_same_millisecond() -> None:
    assert len({ids.new_session_id() for _ in range(1000)}) == 1000


@pytest.mark.parametrize("text", ["", "ses_", "ses_" + "l" * 26, "ses_" + "A" * 26, "x" * 30])
def test_session_id_is_refused_when_its_form_is_wrong(text: str) -> None:
    assert not ids.is_session_id(text)
