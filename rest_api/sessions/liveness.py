"""Which sessions still live: the session store knows, and the records learn it from there."""

from __future__ import annotations

from collections.abc import Sequence

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
        live = await self._store.read([session.id for session in sessions]) if sessions else []
        reasons = {
            session.id: ended_reason(session, state)
            for session, state in zip(sessions, live, strict=True)
        }
        return {session: reason for session, reason in reasons.items() if reason is not None}


def ended_reason(session: Session, live: LiveSession | None) -> str | None:
    """Why a session has ended; None: it has not."""
    if session.ended_ms is not None:
        return session.ended_reason
    if live is None:
        return EXPIRED if unix_ms() - session.created_ms > FRESH_MS else None
    return live.ended_reason or None
