"""aiosqlite with one thread hop for each statement.

SQLAlchemy asks aiosqlite for a cursor, an execution, the rows and a close: four hops to the
connection's thread and back, about 0.1 ms each, where SQLite itself takes 0.02 ms. Here the
execution fetches the rows on the same hop, and the others take none.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import aiosqlite

ITER_ROWS = 64


async def open_connection(file: str, *, busy_timeout_s: float) -> Connection:
    """Open a database file; transactions begin only where somebody says BEGIN."""

    def connect() -> sqlite3.Connection:
        # Used by the connection's own thread, and at its end by whichever closes it.
        return sqlite3.connect(
            file, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
        )

    connection = Connection(connect, ITER_ROWS)
    # A forgotten connection must not keep the process from exiting.
    thread: Any = getattr(connection, "_thread", connection)
    thread.daemon = True
    try:
        await connection
    except BaseException:
        # aiosqlite has told it to stop; it must not speak to an event loop that is gone.
        thread.join()
        raise
    return connection


class Connection(aiosqlite.Connection):
    """A connection with cheap cursors, which knows when there is nothing to undo."""

    _began = False

    def cursor(self) -> Cursor:  # type: ignore[override]  # SQLAlchemy enters it, as it would that one
        """A cursor; it costs nothing."""
        return Cursor(self.hop)

    async def hop(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function with the connection, on its thread."""
        if arguments and isinstance(arguments[0], str) and arguments[0].startswith("BEGIN"):
            # Before it is sent: whoever is cancelled meanwhile must still roll back.
            self._began = True
        return await self._execute(function, self._conn, *arguments)  # type: ignore[no-untyped-call]

    async def commit(self) -> None:
        """Commit, if there is a transaction."""
        if self._began:
            await super().commit()
            self._began = False

    async def rollback(self) -> None:
        """Roll back, if there is a transaction."""
        if self._began:
            await super().rollback()
            self._began = False


class Cursor:
    """The part of an asynchronous cursor that SQLAlchemy uses."""

    def __init__(self, hop: Callable[..., Awaitable[Any]]) -> None:
        self._hop = hop
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Cursor:
        """Itself."""
        return self

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        """Run a statement and fetch its rows."""
        self._take(await self._hop(_execute, sql, parameters))
        return self

    async def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> Cursor:
        """Run a statement once for each row."""
        self._take(await self._hop(_executemany, sql, rows))
        return self

    async def fetchall(self) -> list[Any]:
        """The rows of the last statement, once."""
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """Nothing is open: the rows are here."""

    def _take(self, answer: tuple[Any, int, int | None, list[Any]]) -> None:
        self.description, self.rowcount, self.lastrowid, self._rows = answer


def _execute(
    connection: sqlite3.Connection, sql: str, parameters: Sequence[Any]
) -> tuple[Any, int, int | None, list[Any]]:
    return _drained(connection.execute(sql, parameters))


def _executemany(
    connection: sqlite3.Connection, sql: str, rows: Iterable[Sequence[Any]]
) -> tuple[Any, int, int | None, list[Any]]:
    return _drained(connection.executemany(sql, rows))


def _drained(cursor: sqlite3.Cursor) -> tuple[Any, int, int | None, list[Any]]:
    rows = cursor.fetchall() if cursor.description else []
    answer = (cursor.description, cursor.rowcount, cursor.lastrowid, rows)
    cursor.close()
    return answer
