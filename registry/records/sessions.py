"""Sessions as records: who opened what, with which configuration, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Select, bindparam, delete, insert, literal, select, update
from sqlalchemy.sql.dml import ReturningInsert

from foundation.clock import unix_ms
from foundation.errors import NotFound
from registry.records.database import Database
from registry.records.pages import Page, cut, decode_cursor
from registry.records.tables import SessionRow, VersionRow
from registry.records.version_rows import (
    LATEST,
    ReferenceKind,
    missing_version,
    reference_kind,
    resolve,
    version_query,
)


@dataclass(frozen=True, slots=True)
class Session:
    """A session's facts. `ended_ms` None: nobody wrote down that it has ended."""

    id: str
    tenant: str
    network: str
    version: int
    pool: str
    stateful: bool
    config: dict[str, Any]
    created_ms: int
    created_by: str
    ended_ms: int | None = None
    ended_reason: str = ""


def _opening(kind: ReferenceKind) -> ReturningInsert[int, bool]:
    """Insert a session of the version that a reference means; locks the version meanwhile."""
    version = version_query(
        kind,
        bindparam("new_tenant"),
        bindparam("new_network"),
        bindparam("reference"),
        [
            bindparam("new_id", type_=SessionRow.id.type),
            VersionRow.tenant,
            VersionRow.network,
            VersionRow.version,
            bindparam("new_pool", type_=SessionRow.pool.type),
            VersionRow.stateful,
            bindparam("new_config", type_=SessionRow.config.type),
            bindparam("new_created_ms", type_=SessionRow.created_ms.type),
            bindparam("new_created_by", type_=SessionRow.created_by.type),
            literal("", SessionRow.ended_reason.type),
        ],
    ).with_for_update(of=VersionRow, read=True, key_share=True)
    columns = [
        "id",
        "tenant",
        "network",
        "version",
        "pool",
        "stateful",
        "config",
        "created_ms",
        "created_by",
        "ended_reason",
    ]
    inserting = insert(SessionRow).from_select(columns, version)
    return inserting.returning(SessionRow.version, SessionRow.stateful)


# Built once: building takes longer than running it.
_OPEN = {kind: _opening(kind) for kind in ReferenceKind}


class SessionRecords:
    """Sessions by id; ids sort by the time of their creation. Another tenant's are NotFound."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(
        self,
        session: str,
        tenant: str,
        network: str,
        reference: int | str | None,
        *,
        pool: str,
        config: dict[str, Any],
        created_by: str,
    ) -> Session:
        """Resolve the version and record a new session of it, in one statement.

        Raises:
            NotFound: there is no such network or version.
        """
        facts: dict[str, Any] = {
            "id": session,
            "tenant": tenant,
            "network": network,
            "pool": pool,
            "config": config,
            "created_ms": unix_ms(),
            "created_by": created_by,
        }
        opened = await self._database.first_row(
            _OPEN[reference_kind(reference)],
            {f"new_{name}": value for name, value in facts.items()} | {"reference": reference},
        )
        if opened is None:
            async with self._database.read() as connection:
                await resolve(connection, tenant, network, reference)
            raise missing_version(network, reference or LATEST)
        version, stateful = opened
        return Session(**facts, version=version, stateful=bool(stateful))

    async def read(self, tenant: str, session: str) -> Session:
        """One session.

        Raises:
            NotFound: there is none of that id.
        """
        async with self._database.statement() as connection:
            row = (
                (await connection.execute(_of(tenant).where(SessionRow.id == session)))
                .mappings()
                .one_or_none()
            )
        if row is None:
            raise _missing(session)
        return Session(**row)

    async def page(
        self,
        tenant: str,
        *,
        limit: int,
        cursor: str | None = None,
        network: str | None = None,
        ended: bool | None = None,
    ) -> Page[Session]:
        """Sessions, newest first; of one network, or only those that ended or did not."""
        before = decode_cursor(cursor, str)
        query = _of(tenant).order_by(SessionRow.id.desc()).limit(limit + 1)
        if before is not None:
            query = query.where(SessionRow.id < before)
        if network is not None:
            query = query.where(SessionRow.network == network)
        if ended is not None:
            query = query.where((SessionRow.ended_ms.is_not(None)) == ended)
        return cut(await self._all(query), limit, lambda session: session.id)

    async def unended(
        self,
        *,
        limit: int,
        after: str = "",
        tenant: str | None = None,
        network: str | None = None,
        version: int | None = None,
    ) -> Sequence[Session]:
        """Sessions of which no end is recorded, by id, of all tenants unless one is given."""
        query = select(*SessionRow.__table__.columns).where(
            SessionRow.ended_ms.is_(None), SessionRow.id > after
        )
        if tenant is not None:
            query = query.where(SessionRow.tenant == tenant)
        if network is not None:
            query = query.where(SessionRow.network == network)
        if version is not None:
            query = query.where(SessionRow.version == version)
        return await self._all(query.order_by(SessionRow.id).limit(limit))

    async def configure(self, tenant: str, session: str, changes: dict[str, Any]) -> Session:
        """Change keys of the configuration; answers with the session as it is then.

        Raises:
            NotFound: there is none of that id.
        """
        async with self._database.write() as connection:
            query = _of(tenant).where(SessionRow.id == session).with_for_update()
            row = (await connection.execute(query)).mappings().one_or_none()
            if row is None:
                raise _missing(session)
            before = Session(**row)
            config = {**before.config, **changes}
            await connection.execute(
                update(SessionRow).where(SessionRow.id == session).values(config=config)
            )
        return replace(before, config=config)

    async def end(self, reasons: dict[str, str]) -> None:
        """Write down that sessions have ended, and why; the first reason stays."""
        if not reasons:
            return
        async with self._database.write() as connection:
            for reason in set(reasons.values()):
                ids = [session for session, its in reasons.items() if its == reason]
                await connection.execute(
                    update(SessionRow)
                    .where(SessionRow.id.in_(ids), SessionRow.ended_ms.is_(None))
                    .values(ended_ms=unix_ms(), ended_reason=reason)
                )

    async def forget(self, *, ended_before_ms: int, limit: int) -> int:
        """Delete records of sessions that ended long ago; answers how many."""
        old = select(SessionRow.id).where(SessionRow.ended_ms < ended_before_ms).limit(limit)
        async with self._database.write() as connection:
            gone = await connection.execute(delete(SessionRow).where(SessionRow.id.in_(old)))
        return gone.rowcount

    async def discard(self, session: str) -> None:
        """Take back the record of a session that could not be opened."""
        async with self._database.write() as connection:
            await connection.execute(delete(SessionRow).where(SessionRow.id == session))

    async def _all(self, query: Select[Any]) -> list[Session]:
        async with self._database.statement() as connection:
            return [Session(**row) for row in (await connection.execute(query)).mappings()]


def _of(tenant: str) -> Select[Any]:
    return select(*SessionRow.__table__.columns).where(SessionRow.tenant == tenant)


def _missing(session: str) -> NotFound:
    return NotFound(f"there is no session {session!r}", code="session_not_found")
