"""Statements on SQLite that wait at the same time share a transaction.

A hop to a connection's thread and back takes longer than the statement, threads that write at the
same time wait for each other's lock, and each takes the interpreter from the event loop. So one
writes at a time, and what comes meanwhile goes together next: nobody waits for a timer.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement

from foundation.answers import settle

AT_ONCE = 128
"""Statements of one transaction: others that write wait about 5 ms for it."""

ITS_OWN = (
    # A constraint is violated: SQLite takes back what the statement did.
    sqlite3.IntegrityError,
    # A parameter cannot be bound, by its type, size or characters: nothing was begun.
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    sqlite3.DataError,
    OverflowError,
    UnicodeEncodeError,
)
"""Errors of a statement that leave the transaction as it was before."""

Call = tuple[str, Sequence[Any]]
"""A statement of SQLite and its parameters."""
Transact = Callable[[Sequence[Call]], Awaitable[Sequence[Any]]]
"""Runs them as `transact` does, on the thread of a connection."""


class Prepared:
    """A statement of SQLAlchemy as the driver takes it: made once, since that takes the longest."""

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self._sql = str(compiled)
        self._names: Sequence[str] = compiled.positiontup
        # What the statement itself gives values to, such as a limit.
        self._given: Mapping[str, Any] = compiled.params
        self._converted = {
            name: convert
            for name, bind in compiled.binds.items()
            if (convert := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        }

    def call(self, parameters: Mapping[str, Any]) -> Call:
        """The statement with these parameters, by name."""
        values = {**self._given, **parameters}
        for name, convert in self._converted.items():
            values[name] = convert(values[name])
        return self._sql, [values[name] for name in self._names]


class Together:
    """The statements that wait for their transaction.

    Args:
        transact: runs some of them in one.
    """

    def __init__(self, transact: Transact) -> None:
        self._transact = transact
        self._waiting: list[tuple[Call, asyncio.Future[Any]]] = []
        self._running: asyncio.Task[None] | None = None

    async def first_row(self, call: Call) -> Any:
        """Run one statement; answers its first row, None: it gave none.

        Cancelled, it leaves open whether the statement was run.

        Raises:
            sqlite3.Error: its own, or of the transaction.
            OverflowError, UnicodeEncodeError: a parameter cannot be bound.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((call, answer))
        if self._running is None:
            self._running = loop.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        batch: list[tuple[Call, asyncio.Future[Any]]] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
                answers: Sequence[Any]
                try:
                    answers = await self._transact([call for call, _ in batch])
                except Exception as error:  # noqa: BLE001  # each caller gets it
                    answers = [error] * len(batch)
                settle((future for _, future in batch), answers)
        finally:
            self._running = None
            for _, future in (*batch, *self._waiting):
                future.cancel()


def transact(connection: sqlite3.Connection, calls: Sequence[Call]) -> list[Any]:
    """Run the statements in one transaction; answers the first row of each, None, or its error.

    A statement that violates a constraint, or has a parameter that cannot be bound, has no effect;
    the others have theirs.

    Raises:
        sqlite3.Error: nothing was done.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        rows = [_first_row(connection, call) for call in calls]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return rows


def _first_row(connection: sqlite3.Connection, call: Call) -> Any:
    try:
        rows = connection.execute(*call).fetchall()
    except ITS_OWN as error:
        return error
    return rows[0] if rows else None
