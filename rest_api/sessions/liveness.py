"""Which sessions still live: the session store knows, and the records learn it from there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from foundation.clock import unix_ms
from registry.live import LiveSession, SessionStore
from registry.records import SessionRecords
from registry.records.sessions import Session

BATCH = 500
FRESH_MS = 30_000
"""A session is recorded a moment before the store knows it; younger ones count as alive."""
EXPIRED = "expired"


class Liveness:
    """Writes down the end of sessions that ended on their stream, or whose time was over."""

    def __init__(self, records: SessionRecords, store: SessionStore) -> None:
        self._records = records
        self._store = store

    async def settle(
        self, tenant: str | None = None, network: str | None = None, version: int | None = None
    ) -> int:
        """Look at every session of which no end is recorded; answers how many ends were found.

        Raises:
            Unavailable: the session store or the database does not answer.
        """
        after, found = "", 0
        while True:
            batch = await self._records.unended(
                limit=BATCH, after=after, tenant=tenant, network=network, version=version
            )
            ends = await self._ends(batch)
            await self._records.end(ends)
            found += len(ends)
            if len(batch) < BATCH:
                return found
            after = batch[-1].id

    async def _ends(self, sessions: Sequence[Session]) -> dict[str, str]:
        looked = await look(self._store, sessions)
        return {
            session.id: seen.reason
            for session, seen in zip(sessions, looked, strict=True)
            if seen.reason is not None
        }


class Seen(NamedTuple):
    """A session as the store has it, and why it has ended; None: it has not."""

    live: LiveSession | None
    reason: str | None


async def look(store: SessionStore, sessions: Sequence[Session]) -> list[Seen]:
    """What the store knows of each session, in the order given.

    Raises:
        Unavailable: the store does not answer.
    """
    # Asked in any case: who asks first leaves the mark.
    since_ms = await store.since_ms()
    live = await store.read([session.id for session in sessions])
    return [
        Seen(state, _ended_reason(session, state, since_ms))
        for session, state in zip(sessions, live, strict=True)
    ]


def _ended_reason(session: Session, live: LiveSession | None, since_ms: int) -> str | None:
    if session.ended_ms is not None:
        return session.ended_reason
    if live is not None:
        return live.ended_reason or None
    now_ms = unix_ms()
    if now_ms - session.created_ms <= FRESH_MS:
        return None
    if session.created_ms < since_ms and now_ms - since_ms <= _kept_ms(session):
        # The store lost it; its owner puts it back, or its client comes for a ticket.
        return None
    return EXPIRED


def _kept_ms(session: Session) -> int:
    # As long as the store itself keeps a session that nobody touches.
    return int(float(session.config["resume_ttl_s"]) * 2000)
