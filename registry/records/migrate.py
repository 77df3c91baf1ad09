"""Bring the tables up to date, at the start of a service."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

LOCK = 0x64637265636F7264  # "dcrecord"


async def migrate(connection: AsyncConnection) -> None:
    """Run the missing migrations inside the connection's transaction.

    Services may start at the same time: on PostgreSQL an advisory lock, on SQLite the write lock
    that the transaction already holds, lets one of them do it.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "registry.records:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
