from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from foundation.errors import InvalidInput, Unavailable
from registry.records import Database, connect
from registry.records.migrate import NEWEST
from registry.records.tables import Row


async def test_migrations_make_the_tables_of_the_models(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), Row.metadata))

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


def test_newest_migration_is_the_one_that_is_looked_for() -> None:
    config = Config()
    config.set_main_option("script_location", "registry.records:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [NEWEST]


async def test_connect_keeps_the_records_when_the_tables_are_there(database_url: str) -> None:
    for expected in (0, 1):
        database = await connect(database_url, timeout_s=5)
        async with database.write() as connection:
            count = await connection.scalar(text("SELECT count(*) FROM pools"))
            await connection.execute(
                text("INSERT INTO pools VALUES (:name, 1, 0, 0)"), {"name": f"pool-{expected}"}
            )
        await database.close()
        assert count == expected


async def test_connect_migrates_once_when_services_start_together(database_url: str) -> None:
    databases = await asyncio.gather(*(connect(database_url, timeout_s=10) for _ in range(4)))
    for database in databases:
        await database.check()
        await database.close()


async def test_connect_names_the_file_when_it_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"missing/records.db .*unable to open"):
        await connect(f"sqlite:///{tmp_path}/missing/records.db", timeout_s=5)


async def test_connect_hides_the_password_when_the_server_is_unreachable() -> None:
    with pytest.raises(Unavailable, match=r"user:\*\*\*@127.0.0.1:1/dc") as caught:
        await connect("postgresql://user:sesame@127.0.0.1:1/dc", timeout_s=0)
    assert "sesame" not in caught.value.message


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://x/y"])
async def test_connect_refuses_the_url_when_it_names_no_known_database(url: str) -> None:
    with pytest.raises(InvalidInput, match="DC_DATABASE_URL"):
        await connect(url, timeout_s=5)


async def test_write_leaves_nothing_when_its_block_raises(database: Database) -> None:
    async def fail() -> None:
        async with database.write() as connection:
            await connection.execute(text("INSERT INTO pools VALUES ('gone', 1, 0, 0)"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with database.read() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM pools")) == 0


async def test_writes_wait_for_each_other_when_concurrent(database: Database) -> None:
    async def write(number: int) -> None:
        async with database.write() as connection:
            await connection.scalar(text("SELECT count(*) FROM pools"))
            await connection.execute(
                text("INSERT INTO pools VALUES (:name, 1, 0, 0)"), {"name": str(number)}
            )

    await asyncio.gather(*(write(number) for number in range(40)))
    async with database.read() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM pools")) == 40
