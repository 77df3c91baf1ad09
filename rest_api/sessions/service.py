"""What can be done with sessions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from foundation.errors import Conflict, InvalidInput, NotFound
from registry.ids import new_session_id
from registry.live import LiveSession, SessionRecord, SessionStore, WorkerDirectory
from registry.records import PoolRecords, SessionRecords, VersionRecords
from registry.records.sessions import Session
from rest_api.edge.authentication import Principal
from rest_api.sessions.liveness import Seen, look
from rest_api.sessions.schemas import (
    ConfigIn,
    ConfigOut,
    SessionIn,
    SessionOpened,
    SessionOut,
    State,
    Stream,
)
from rest_api.sessions.streams import Streams
from rest_api.shapes import timestamp

log = logging.getLogger(__name__)

PUT_BACK_S = 1.5
"""An owner sees within a quarter of its lease (0.5 s by default) that Redis lost its sessions."""
PUT_BACK_POLL_S = 0.05
DEFAULT_POOL = "default"
CLOSED = "closed"


class SessionService:
    """Sessions: their records, merged with what the session store knows of them."""

    def __init__(
        self,
        records: SessionRecords,
        versions: VersionRecords,
        pools: PoolRecords,
        store: SessionStore,
        workers: WorkerDirectory,
        streams: Streams,
    ) -> None:
        self._records = records
        self._versions = versions
        self._pools = pools
        self._store = store
        self._workers = workers
        self._streams = streams

    async def open(self, who: Principal, body: SessionIn) -> SessionOpened:
        """Open a session: one record, one entry in the session store, one ticket.

        Raises:
            NotFound: there is no such network or version.
            InvalidInput: there is no such pool, or the network cannot train.
            WorkerUnavailable: its route is direct, and there is no worker to stream to.
        """
        await self._require_pool(body.config.pool)
        reference = body.version
        if body.config.mode == "train":
            reference = await self._trainable(who, body.network, reference)
        session = new_session_id()
        config = _stored(body.config)
        record = await self._records.open(
            session,
            who.tenant,
            body.network,
            reference,
            pool=body.config.pool,
            config=config,
            created_by=who.key,
        )
        try:
            entry = _entry(record)
            address = await self._streams.first(entry)
            stream = await self._streams.open(entry, address)
        except BaseException:
            await self._records.discard(session)
            raise
        return SessionOpened(session=_shown(record, Seen(None, None)), stream=stream)

    async def ticket(self, who: Principal, session: str) -> Stream:
        """Another ticket; also for a session that the store lost.

        Raises:
            NotFound: there is no such session, or it has ended.
        """
        record, live = await self.living(who, session)
        if live is None:
            await self._bring_back(record)
        address = await self._streams.again(_entry(record), live.owner if live is not None else "")
        return await self._streams.ticket(session, address)

    async def _bring_back(self, record: Session) -> None:
        """Wait for the owner to put the session back; make it anew when there is none."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + PUT_BACK_S
        while loop.time() < give_up_at:
            if (await self._store.read([record.id]))[0] is not None:
                return
            await asyncio.sleep(PUT_BACK_POLL_S)
        log.warning("the session store lost session %s, which nobody owns: made anew", record.id)
        await self._store.create(_entry(record), lost=True)

    async def read(self, who: Principal, session: str) -> SessionOut:
        """One session, ended or not.

        Raises:
            NotFound: there is no such session.
        """
        record = await self._records.read(who.tenant, session)
        return (await self.shown([record]))[0]

    async def shown(self, records: Sequence[Session]) -> list[SessionOut]:
        """Records as JSON, with the state of each."""
        looked = await look(self._store, records) if records else []
        return [_shown(*pair) for pair in zip(records, looked, strict=True)]

    async def living(self, who: Principal, session: str) -> tuple[Session, LiveSession | None]:
        """A session that has not ended, with what the store knows of it.

        Raises:
            NotFound: there is no such session, or it has ended.
        """
        record = await self._records.read(who.tenant, session)
        (seen,) = await look(self._store, [record])
        if seen.reason is not None:
            raise NotFound(f"session {session!r} has ended ({seen.reason})", code="session_ended")
        return record, seen.live

    async def end(self, session: str, reason: str = CLOSED) -> None:
        """End a session in the store and in the records; ending it twice does nothing."""
        await self._store.end(session, epoch=None, reason=reason)
        await self._records.end({session: reason})

    async def reconfigure(
        self, who: Principal, session: str, changes: dict[str, Any]
    ) -> SessionOut:
        """Change what can change only before the first attach.

        Raises:
            NotFound: there is no such session, or it has ended.
            Conflict: it has been attached: what a worker holds is changed by commands only.
        """
        _, live = await self.living(who, session)
        if live is None or live.attachment:
            raise Conflict(
                f"{', '.join(changes)} can change only before the session is first attached",
                code="already_attached",
            )
        return _shown(await self.write_config(who, session, changes), Seen(live, None))

    async def write_config(self, who: Principal, session: str, changes: dict[str, Any]) -> Session:
        """Write changes of the configuration down, in the records and in the session store.

        Raises:
            NotFound: there is no such session.
        """
        changed = await self._records.configure(who.tenant, session, changes)
        await self._store.replace(_entry(changed))
        return changed

    async def _trainable(self, who: Principal, network: str, reference: int | str | None) -> int:
        version = await self._versions.read(who.tenant, network, reference)
        if not version.trainable:
            raise InvalidInput(
                f"network {network!r} has no loss or no optimizer: it cannot train",
                field="config.mode",
                code="not_trainable",
            )
        return version.version

    async def _require_pool(self, pool: str) -> None:
        if pool == DEFAULT_POOL or await self._pools.read(pool) is not None:
            return
        if not await self._workers.list(pool):
            raise InvalidInput(f"there is no pool {pool!r}", field="config.pool")


def _stored(config: ConfigIn) -> dict[str, Any]:
    return {
        "delivery": config.delivery,
        "resume_ttl_s": config.resume_ttl_s,
        "mode": config.mode,
        "route": config.route,
    }


def _entry(record: Session) -> SessionRecord:
    return SessionRecord(
        id=record.id,
        tenant=record.tenant,
        network=record.network,
        version=record.version,
        pool=record.pool,
        stateful=record.stateful,
        config=record.config,
        created_ms=record.created_ms,
    )


def _shown(record: Session, seen: Seen) -> SessionOut:
    live, reason = seen
    ended_at: datetime | None = None
    if record.ended_ms is not None:
        ended_at = timestamp(record.ended_ms)
    return SessionOut(
        id=record.id,
        network=record.network,
        version=record.version,
        stateful=record.stateful,
        state=_state(live) if reason is None else "ended",
        config=ConfigOut(**record.config, pool=record.pool),
        worker=live.owner or None if live is not None and reason is None else None,
        epoch=live.epoch if live is not None else 0,
        created_at=timestamp(record.created_ms),
        created_by=record.created_by,
        ended_at=ended_at,
        ended_reason=reason,
    )


def _state(live: LiveSession | None) -> State:
    if live is None or not live.attachment:
        return "open"
    return "attached" if live.attached else "detached"
