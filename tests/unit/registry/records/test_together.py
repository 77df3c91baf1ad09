from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from foundation.errors import Unavailable
from registry.records import Database, SessionRecords, connect
from registry.records.together import AT_ONCE, ITS_OWN, Call, Together, transact
from tests.support.conditions import until


async def open_one(sessions: SessionRecords, session: str) -> None:
    await sessions.open(session, "default", "gru", None, pool="p", config={}, created_by="k")


class Transactions:
    """Answers each call with its statement; a transaction ends when `go` is set."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.go = asyncio.Event()

    async def __call__(self, calls: Sequence[Call]) -> Sequence[Any]:
        self.begun.append(len(calls))
        await self.go.wait()
        return [sql for sql, _ in calls]


async def test_statements_share_a_transaction_when_another_one_runs() -> None:
    transactions = Transactions()
    together = Together(transactions)
    first = asyncio.create_task(together.first_row(("first", ())))
    await until(lambda: transactions.begun == [1])
    others = [asyncio.create_task(together.first_row((str(n), ()))) for n in range(AT_ONCE + 1)]
    await asyncio.sleep(0)
    transactions.go.set()
    assert await first == "first"
    assert await asyncio.gather(*others) == [str(n) for n in range(AT_ONCE + 1)]
    assert transactions.begun == [1, AT_ONCE, 1]


async def test_statement_is_answered_when_a_caller_before_it_was_cancelled() -> None:
    transactions = Transactions()
    together = Together(transactions)
    gone, stays = [asyncio.create_task(together.first_row((n, ()))) for n in ("gone", "stays")]
    await until(lambda: transactions.begun == [2])
    gone.cancel()
    transactions.go.set()
    assert await stays == "stays"


async def test_every_caller_learns_it_when_the_transaction_fails() -> None:
    async def fail(_calls: Sequence[Call]) -> Sequence[Any]:
        raise Unavailable("locked")

    together = Together(fail)
    answers = await asyncio.gather(
        *(together.first_row(("", ())) for _ in range(3)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    with pytest.raises(Unavailable):
        await together.first_row(("", ()))


def test_statement_alone_has_no_effect_when_it_violates_a_constraint() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE names (name TEXT PRIMARY KEY)")
    insert = "INSERT INTO names VALUES (?) RETURNING name"
    rows = transact(connection, [(insert, [name]) for name in ("a", "a", "b")])
    assert rows[0] == ("a",)
    assert isinstance(rows[1], sqlite3.IntegrityError)
    assert rows[2] == ("b",)
    assert connection.execute("SELECT count(*) FROM names").fetchone() == (2,)
    connection.close()


@pytest.mark.parametrize("value", [object(), [], 1 << 63, "\ud800"])
def test_statement_alone_has_no_effect_when_its_value_cannot_be_bound(value: object) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE names (name TEXT)")
    insert = "INSERT INTO names VALUES (?) RETURNING name"
    rows = transact(connection, [(insert, [name]) for name in ("a", value, "b")])
    assert (rows[0], rows[2]) == (("a",), ("b",))
    assert isinstance(rows[1], ITS_OWN)
    assert connection.execute("SELECT count(*) FROM names").fetchone() == (2,)
    connection.close()


def test_nothing_is_done_when_a_statement_cannot_run() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE names (name TEXT)")
    with pytest.raises(sqlite3.OperationalError):
        transact(connection, [("INSERT INTO names VALUES ('a')", ()), ("nonsense", ())])
    assert not connection.in_transaction
    assert connection.execute("SELECT count(*) FROM names").fetchone() == (0,)
    connection.close()


async def test_sessions_are_opened_when_one_among_them_cannot_be(sessions: SessionRecords) -> None:
    names = ["ses_1", "ses_2", "ses_2", "ses_3"]
    answers = await asyncio.gather(
        *(open_one(sessions, name) for name in names), return_exceptions=True
    )
    failed = [answer for answer in answers if answer is not None]
    assert len(failed) == 1
    assert isinstance(failed[0], sqlite3.IntegrityError | IntegrityError)
    page = await sessions.page("default", limit=10)
    assert sorted(session.id for session in page.items) == ["ses_1", "ses_2", "ses_3"]


async def test_opening_is_unavailable_when_the_database_is_broken(tmp_path: Path) -> None:
    database: Database = await connect(f"sqlite:///{tmp_path}/records.db", timeout_s=5)
    with sqlite3.connect(tmp_path / "records.db") as broken:
        broken.execute("DROP TABLE sessions")
    broken.close()
    with pytest.raises(Unavailable):
        await open_one(SessionRecords(database), "ses_1")
    await database.close()
