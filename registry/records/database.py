"""The connection to the record database, and its transactions."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.sql import ClauseElement

from foundation.clock import monotonic
from foundation.errors import InvalidInput, Unavailable
from registry.records.migrate import migrate
from registry.records.sqlite_driver import open_connection
from registry.records.together import Call, Prepared, Together, transact

log = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 10
"""How long a SQLite writer waits for another. A write takes about 1 ms."""
RETRY_S = 0.5
MESSAGE_S = 2.0
DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}


class Database:
    """The record database: SQLite (a file, WAL) or PostgreSQL.

    Every repository method is one transaction. A write on SQLite takes the write lock at its
    start, so that it waits for other writers instead of failing half-way.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(dc_begin="BEGIN IMMEDIATE")
        self._together = Together(self._transact)
        self._prepared: dict[ClauseElement, Prepared] = {}
        if engine.dialect.name == "sqlite":
            self._single = engine.execution_options(dc_begin="")
        else:
            self._single = engine.execution_options(isolation_level="AUTOCOMMIT")

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[AsyncConnection]:
        """For one statement, which is a transaction by itself: the fastest way.

        Raises:
            IntegrityError: a constraint failed; the repository says what that means.
            Unavailable: the database cannot be reached, or stays locked.
        """
        try:
            async with self._single.connect() as connection:
                yield connection
        except (DBAPIError, OSError, TimeoutError) as error:
            raise _translated(error) from error

    async def first_row(self, statement: ClauseElement, parameters: Mapping[str, Any]) -> Any:
        """Run one statement, a transaction by itself, and answer its first row; None: no row.

        On SQLite those that wait at the same time share a transaction, and rows are as they are
        stored: a boolean is 0 or 1.

        Args:
            statement: one of few; it is prepared once.
            parameters: all of them, by name.

        Raises:
            IntegrityError, sqlite3.IntegrityError: a constraint failed.
            Unavailable: the database cannot be reached, or stays locked.
        """
        if self.dialect != "sqlite":
            async with self.statement() as connection:
                return (await connection.execute(statement, parameters)).first()  # type: ignore[call-overload]
        prepared = self._prepared.get(statement)
        if prepared is None:
            prepared = self._prepared[statement] = Prepared(statement, self._engine.dialect)
        try:
            return await self._together.first_row(prepared.call(parameters))
        except sqlite3.Error as error:
            raise _translated(error) from error

    async def _transact(self, calls: Sequence[Call]) -> Sequence[Any]:
        async with self.statement() as connection:
            raw = await connection.get_raw_connection()
            driver: Any = raw.driver_connection
            answers: Sequence[Any] = await driver.hop(transact, calls)
            return answers

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads.

        Raises:
            Unavailable: the database cannot be reached.
        """
        try:
            async with self._engine.begin() as connection:
                yield connection
        except (DBAPIError, OSError, TimeoutError) as error:
            raise _translated(error) from error

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write; committed when the block ends without an exception.

        Raises:
            IntegrityError: a constraint failed; the repository says what that means.
            Unavailable: the database cannot be reached, or stays locked.
        """
        try:
            async with self._writer.begin() as connection:
                yield connection
        except (DBAPIError, OSError, TimeoutError) as error:
            raise _translated(error) from error

    async def check(self) -> None:
        """Ask for nothing, to see that it answers.

        Raises:
            Unavailable: it does not.
        """
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


async def connect(url: str, *, timeout_s: float) -> Database:
    """Open the database and bring its tables up to date.

    Waits for a server that is not there yet, with a message every two seconds.

    Raises:
        InvalidInput: the URL names no database that we know.
        Unavailable: it cannot be opened; names the URL, without its password.
    """
    target = _parse(url)
    shown = target.render_as_string(hide_password=True)
    sqlite = target.get_backend_name() == "sqlite"
    database = Database(_engine(target, sqlite=sqlite))
    deadline = monotonic() + timeout_s
    message_at = monotonic()
    while True:
        try:
            async with database.write() as connection:
                await migrate(connection)
        except Unavailable as error:
            # A file does not appear by waiting for it; its lock goes away.
            hopeless = sqlite and "locked" not in _reason(error)
            if hopeless or monotonic() >= deadline:
                await database.close()
                raise Unavailable(
                    f"the record database {shown} (DC_DATABASE_URL) cannot be opened:"
                    f" {_reason(error)}",
                    code="database_unreachable",
                ) from error
            if monotonic() >= message_at:
                log.warning("waiting for the record database %s: %s", shown, _reason(error))
                message_at = monotonic() + MESSAGE_S
            await asyncio.sleep(RETRY_S)
        except BaseException:
            await database.close()
            raise
        else:
            return database


def _parse(url: str) -> URL:
    try:
        target = make_url(url)
        driver = DRIVERS[target.get_backend_name()]
    except (ArgumentError, KeyError):
        raise InvalidInput(
            "DC_DATABASE_URL must be sqlite+aiosqlite:///FILE or postgresql+asyncpg://…",
            field="database_url",
        ) from None
    return target.set(drivername=driver)


def _engine(url: URL, *, sqlite: bool) -> AsyncEngine:
    if not sqlite:
        return create_async_engine(url, pool_size=10, max_overflow=10, pool_pre_ping=True)
    file = url.database or ":memory:"
    engine = create_async_engine(
        url,
        async_creator=lambda: open_connection(file, busy_timeout_s=BUSY_TIMEOUT_S),
        pool_reset_on_return=None,
        pool_size=8,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # A power cut may take the last transactions with it, never the file.
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    # The driver would begin transactions by itself, and too late: only at the first write.
    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        if begin := connection.get_execution_options().get("dc_begin", "BEGIN"):
            connection.exec_driver_sql(begin)

    return engine


def _translated(error: Exception) -> Exception:
    """Our error for a driver's; a failed constraint stays what it is."""
    if isinstance(error, IntegrityError | ProgrammingError | DataError):
        return error
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.DataError):
        return error
    return Unavailable("the record database does not answer", code="database_unavailable")


def _reason(error: BaseException) -> str:
    cause = error.__cause__
    origin = getattr(cause, "orig", None) or cause or error
    return str(origin).splitlines()[0] if str(origin) else type(origin).__name__
