from __future__ import annotations

import pytest
from redis.asyncio import Redis

from registry.live import WorkerDirectory, WorkerInfo
from tests.support.conditions import until


@pytest.fixture
def directory(redis: Redis) -> WorkerDirectory:
    return WorkerDirectory(redis)


def worker(name: str, pool: str = "default", sessions: int = 0) -> WorkerInfo:
    return WorkerInfo(name, pool, "here", 1, sessions, 100, 5, "ready", ["digits:1"])


async def test_directory_lists_living_workers_by_pool_when_announced(
    directory: WorkerDirectory, redis: Redis
) -> None:
    for info in (worker("w2"), worker("w1"), worker("x1", "gpu")):
        await directory.announce(info, 60_000)
    await directory.announce(worker("w1", sessions=3), 60_000)
    assert await directory.list("default") == [worker("w1", sessions=3), worker("w2")]
    assert [w.name for w in await directory.list()] == ["w1", "w2", "x1"]
    assert await directory.list("other") == []
    assert await directory.alive("w1")
    for key in await redis.keys("*"):
        assert 0 < await redis.pttl(key) <= 60_000


async def test_directory_forgets_a_worker_when_its_lease_ran_out(
    directory: WorkerDirectory, redis: Redis
) -> None:
    await directory.announce(worker("w1"), 60_000)
    await directory.announce(worker("w2"), 20)

    async def gone() -> bool:
        return not await directory.alive("w2")

    await until(gone)
    assert [w.name for w in await directory.list()] == ["w1"]
    await directory.announce(worker("w1"), 60_000)
    assert await redis.hkeys("dc:{workers}:info") == [b"w1"]


async def test_directory_keeps_long_leases_when_short_ones_are_renewed(
    directory: WorkerDirectory, redis: Redis
) -> None:
    await directory.announce(worker("w1"), 60_000)
    await directory.announce(worker("w2"), 1_000)
    assert await redis.pttl("dc:{workers}:leases") > 50_000


async def test_directory_forgets_a_worker_when_withdrawn(directory: WorkerDirectory) -> None:
    await directory.announce(worker("w1"), 60_000)
    await directory.withdraw("w1")
    await directory.withdraw("w1")
    assert not await directory.alive("w1")
    assert await directory.list() == []
