"""Whose links concern which sessions: what a `LinkOwner` shares with each of its peers."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Shared(Generic[T]):
    """Sessions by peer. A peer that shares none is not known."""

    def __init__(self) -> None:
        self._by_peer: dict[str, set[T]] = {}

    def __len__(self) -> int:
        """How many peers share sessions."""
        return len(self._by_peer)

    def __contains__(self, peer: str) -> bool:
        """True while sessions are shared with `peer`."""
        return peer in self._by_peer

    def of(self, peer: str) -> tuple[T, ...]:
        """The sessions shared with `peer` now."""
        return tuple(self._by_peer.get(peer, ()))

    def add(self, peer: str, session: T) -> None:
        """The session is shared with `peer`; repeating it changes nothing."""
        self._by_peer.setdefault(peer, set()).add(session)

    def remove(self, peer: str, session: T) -> None:
        """The session is not shared with `peer`, whether it was or not."""
        sessions = self._by_peer.get(peer)
        if sessions is not None:
            sessions.discard(session)
            if not sessions:
                del self._by_peer[peer]

    def forget(self, peer: str) -> tuple[T, ...]:
        """Nothing is shared with `peer` any more; returns what was."""
        return tuple(self._by_peer.pop(peer, ()))
