"""Which sessions are shared with which peer."""

from __future__ import annotations

from broker.shared import Shared


def test_shared_knows_a_peer_while_it_shares_a_session() -> None:
    shared: Shared[str] = Shared()
    shared.add("a", "first")
    shared.add("a", "first")
    shared.add("a", "second")
    assert sorted(shared.of("a")) == ["first", "second"]
    shared.remove("a", "first")
    assert "a" in shared
    shared.remove("a", "second")
    assert "a" not in shared
    assert len(shared) == 0


def test_shared_changes_nothing_when_what_is_removed_was_not_there() -> None:
    shared: Shared[str] = Shared()
    shared.add("a", "first")
    shared.remove("a", "other")
    shared.remove("b", "first")
    assert shared.of("a") == ("first",)
    assert shared.of("b") == ()


def test_shared_sessions_may_leave_while_they_are_gone_through() -> None:
    shared: Shared[str] = Shared()
    for session in ("first", "second"):
        shared.add("a", session)
    for session in shared.of("a"):
        shared.remove("a", session)
    assert not shared


def test_shared_returns_what_was_when_a_peer_is_forgotten() -> None:
    shared: Shared[str] = Shared()
    shared.add("a", "first")
    shared.add("b", "second")
    assert shared.forget("a") == ("first",)
    assert shared.forget("a") == ()
    assert len(shared) == 1
