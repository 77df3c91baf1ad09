"""Pools as records: how many workers each should have."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from foundation.clock import unix_ms
from registry.records.database import Database
from registry.records.pages import Page, cut, decode_cursor
from registry.records.tables import PoolRow


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool and its desired number of workers; an actuator makes it true."""

    name: str
    replicas: int
    created_ms: int
    updated_ms: int


class PoolRecords:
    """Pools by name. They serve all tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ensure(self, name: str, replicas: int) -> Pool:
        """The pool of that name, made with `replicas` when there is none."""
        if (pool := await self.read(name)) is not None:
            return pool
        now = unix_ms()
        pool = Pool(name, replicas, now, now)
        try:
            async with self._database.write() as connection:
                await connection.execute(
                    insert(PoolRow).values(
                        name=name, replicas=replicas, created_ms=now, updated_ms=now
                    )
                )
        except IntegrityError:
            return await self.read(name) or pool
        return pool

    async def read(self, name: str) -> Pool | None:
        """One pool; None: there is none of that name."""
        query = select(*PoolRow.__table__.columns).where(PoolRow.name == name)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return Pool(**row) if row else None

    async def page(self, *, limit: int, cursor: str | None = None) -> Page[Pool]:
        """Pools by name."""
        after = decode_cursor(cursor, str) or ""
        query = (
            select(*PoolRow.__table__.columns)
            .where(PoolRow.name > after)
            .order_by(PoolRow.name)
            .limit(limit + 1)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return cut([Pool(**row) for row in rows], limit, lambda pool: pool.name)

    async def scale(self, name: str, replicas: int) -> Pool | None:
        """Set the desired number of workers; None: there is no pool of that name."""
        async with self._database.write() as connection:
            await connection.execute(
                update(PoolRow)
                .where(PoolRow.name == name)
                .values(replicas=replicas, updated_ms=unix_ms())
            )
            query = select(*PoolRow.__table__.columns).where(PoolRow.name == name)
            row = (await connection.execute(query)).mappings().one_or_none()
        return Pool(**row) if row else None
