"""REST on PostgreSQL, end to end. The records' own tests run on it too: see their conftest.py."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from direct_contact.client import Client
from tests.support.launched import LaunchedStack
from tests.support.postgres import PostgresServer

NETWORK: dict[str, Any] = {
    "name": "kept",
    "input": {"datatype": "FP32", "shape": [4]},
    "layers": [{"type": "dense", "units": 3, "activation": "tanh"}],
    "loss": "mse",
    "optimizer": {"type": "sgd", "learning_rate": 0.1},
    "seed": 3,
}


async def test_stack_keeps_its_records_in_postgresql_when_it_starts_again(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    url = await _new_database(postgres_server)
    row = np.ones(4, dtype=np.float32)
    answers = []
    for start in ("first", "second"):
        with LaunchedStack(tmp_path, "--workers", "1", DC_DATABASE_URL=url) as stack:
            async with Client(stack.ready["rest_url"], stack.ready["api_key"]) as client:
                if start == "first":
                    await client.create_network(NETWORK)
                    async with client.session("kept", mode="train") as session:
                        await session.infer(row, target=np.zeros(3, dtype=np.float32))
                        made = await session.command("snapshot")
                    assert made["version"] == 2
                async with client.session("kept", version=2) as session:
                    answers.append(await session.infer(row))
                assert [one.version for one in await client.versions("kept")] == [2, 1]
                assert await client.sessions("kept")
    assert not (tmp_path / "data" / "records.db").exists(), "the records went to SQLite"
    assert np.array_equal(answers[0], answers[1])


async def _new_database(server: PostgresServer) -> str:
    name = f"dc_{secrets.token_hex(6)}"
    engine = create_async_engine(server.url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
    await engine.dispose()
    return make_url(server.url).set(database=name).render_as_string(hide_password=False)
