"""Weights that no version names, beside REST APIs that create, snapshot and sweep."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from broker.nats import NatsBroker, connect
from foundation.errors import NotFound
from foundation.settings import BrokerSettings
from registry.networks.store import BUCKET, NetworkStore
from registry.records import Database, NetworkRecords, VersionDraft, VersionRecords
from registry.records import connect as connect_records
from rest_api.edge.observation import Metrics
from rest_api.networks import unnamed
from rest_api.networks.unnamed import UnnamedWeights
from tests.integration.rest_api.conftest import DIGITS, Start
from tests.support.conditions import until
from tests.support.servers import NatsServer


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await connect_records(f"sqlite+aiosqlite:///{tmp_path}/swept.db", timeout_s=5)
    yield database
    await database.close()


@pytest.fixture
async def store(broker: NatsBroker, redis: Redis, request: pytest.FixtureRequest) -> NetworkStore:
    """A store with a bucket of this test's own."""
    return NetworkStore(broker.blobs(request.node.name[:60].replace("[", "-")), redis)


def sweeper(store: NetworkStore, database: Database, *, kept_ms: int = -60_000) -> UnnamedWeights:
    """By default everything is old enough."""
    return UnnamedWeights(store, VersionRecords(database), Metrics(), kept_ms=kept_ms)


async def create(database: Database, name: str, digest: str) -> None:
    draft = VersionDraft(
        backend="numpy", spec={}, weights=digest, stateful=False, trainable=False, parameters=0,
        source="created", created_by="admin",
    )  # fmt: skip
    async with NetworkRecords(database).creating("default", name, draft, aliases=[]):
        pass


async def there(store: NetworkStore, *digests: str) -> list[bool]:
    async def one(digest: str) -> bool:
        try:
            await store.weights(digest)
        except NotFound:
            return False
        return True

    return [await one(digest) for digest in digests]


async def test_weights_are_deleted_when_they_are_old_and_no_version_names_them(
    store: NetworkStore, database: Database
) -> None:
    named, unnamed_ = [await store.put_weights(data) for data in (b"named", b"unnamed")]
    await create(database, "digits", named)
    assert await sweeper(store, database, kept_ms=60_000).sweep() == 0
    sweeping = sweeper(store, database)
    assert await sweeping.sweep() == 1
    assert await there(store, named, unnamed_) == [True, False]
    assert sweeping._metrics.registry.get_sample_value("dc_rest_weights_deleted_total") == 1
    assert await sweeping.sweep() == 0


async def test_nothing_is_deleted_when_the_database_knows_no_version(
    store: NetworkStore, database: Database
) -> None:
    digest = await store.put_weights(b"of another database")
    assert await sweeper(store, database).sweep() == 0
    assert await there(store, digest) == [True]


async def test_sweep_goes_on_where_it_ended_when_there_are_more_than_a_round_looks_at(
    store: NetworkStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unnamed, "LOOKED_AT", 3)
    digests = [await store.put_weights(b"%d" % number) for number in range(10)]
    for number in (0, 1, 2, 5):
        await create(database, f"n{number}", digests[number])
    sweeping = sweeper(store, database)
    assert [await sweeping.sweep() for _ in range(5)] == [0, 2, 3, 1, 0]
    assert await there(store, *digests) == [number in (0, 1, 2, 5) for number in range(10)]


async def test_weights_stay_when_they_are_put_or_named_while_several_sweep(
    store: NetworkStore, database: Database
) -> None:
    await create(database, "other", await store.put_weights(b"other"))
    sweepers = [sweeper(store, database) for _ in range(3)]
    for turn in range(20):
        data = b"put again %d" % turn
        digest = await store.put_weights(data)
        listed, _ = await store.list_weights(after=0, limit=100)

        async def name_it(digest: str = digest, data: bytes = data, turn: int = turn) -> None:
            # As a creation does: the weights first, then the record.
            await store.put_weights(data)
            await create(database, f"n{turn}", digest)

        # As the sweeps do that listed it before.
        await asyncio.gather(
            name_it(), *(store.delete_weights(digest, listed[digest]) for _ in sweepers)
        )
        assert await there(store, digest) == [True]
        await asyncio.gather(*(sweeping.sweep() for sweeping in sweepers))
        assert await there(store, digest) == [True]


@asynccontextmanager
async def connected(server: NatsServer) -> AsyncIterator[NatsBroker]:
    broker = await connect(BrokerSettings(nats_url=server.url), name="test")
    yield broker
    await broker.close()


async def test_rest_sweeps_weights_of_a_deleted_version_and_of_a_failed_creation(
    start_rest: Start, own_nats_server: NatsServer
) -> None:
    settings: dict[str, Any] = {
        "nats_url": own_nats_server.url,
        "rest_sweep_interval_s": 0.05,
        # 0.4 s
        "rest_unnamed_weights_hours": 0.4 / 3600,
    }
    rest = await start_rest(**settings)
    await start_rest(**settings, rest_admin_key=rest.admin_key)
    api = await rest.client(rest.admin_key)
    for name in ("kept", "deleted"):
        body = {**DIGITS, "name": name, "seed": len(name)}
        assert (await api.post("/v1/networks", json=body)).status_code == 201
    # The weights come first, then the name is found to be taken.
    body = {**DIGITS, "name": "kept", "seed": 99}
    assert (await api.post("/v1/networks", json=body)).status_code == 409
    assert (await api.delete("/v1/networks/deleted")).status_code == 204
    async with connected(own_nats_server) as broker:
        store = NetworkStore(broker.blobs(BUCKET), None)

        async def one_left() -> bool:
            return len((await store.list_weights(after=0, limit=100))[0]) == 1

        await until(one_left)
        answer = await api.get("/v1/networks/kept/versions/1/weights")
        assert answer.status_code == 200
