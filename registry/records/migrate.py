"""Bring the tables up to date, at the start of a service."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

LOCK = 0x64637265636F7264  # "dcrecord"
NEWEST = "0001"
"""The last of the migrations. Where the tables are of it, Alembic is not loaded: 0.1 s."""


async def migrate(connection: AsyncConnection) -> None:
    """Run the missing migrations inside the connection's transaction.

    Services may start at the same time: on PostgreSQL an advisory lock, on SQLite the write lock
    that the transaction already holds, lets one of them do it.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    if await connection.run_sync(_version) != NEWEST:
        await connection.run_sync(_upgrade)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return version


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "registry.records:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
