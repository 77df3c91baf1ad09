"""A fresh record database for each test, on SQLite and, as a system test, on PostgreSQL."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from registry.records import Database, NetworkRecords, SessionRecords, VersionDraft, connect

POSTGRES_URL = os.environ.get("DC_TEST_POSTGRES_URL", "")
"""A superuser's; empty: the tests start a server of their own."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.system)])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path}/records.db"
        return
    server_url = POSTGRES_URL or request.getfixturevalue("postgres_server").url
    name = f"dc_test_{secrets.token_hex(6)}"
    server = create_async_engine(server_url, isolation_level="AUTOCOMMIT")
    try:
        async with server.connect() as connection:
            await connection.execute(text(f"CREATE DATABASE {name}"))
        yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
        async with server.connect() as connection:
            await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        await server.dispose()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await connect(database_url, timeout_s=5)
    yield database
    await database.close()


@pytest.fixture
async def sessions(database: Database) -> SessionRecords:
    draft = VersionDraft("numpy", {}, "", True, True, 1, "created", "admin")
    for tenant in ("default", "other"):
        async with NetworkRecords(database).creating(tenant, "gru", draft, aliases=["live"]):
            pass
    return SessionRecords(database)
