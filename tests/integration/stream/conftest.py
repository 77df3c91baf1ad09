"""A gateway and a worker on real NATS and Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from broker.nats import NatsBroker
from tests.support.servers import NatsServer, RedisServer
from tests.support.stack import Stack, running_stack


@pytest.fixture
async def stack(
    broker: NatsBroker,
    redis: Redis,
    nats_server: NatsServer,
    redis_server: RedisServer,
    tmp_path: Path,
) -> AsyncIterator[Stack]:
    """One gateway, one worker."""
    async with running_stack(broker, redis, nats_server, redis_server, tmp_path) as running:
        yield running


@pytest.fixture(params=["broker", "direct"])
async def either_stack(
    request: pytest.FixtureRequest,
    broker: NatsBroker,
    redis: Redis,
    nats_server: NatsServer,
    redis_server: RedisServer,
    tmp_path: Path,
) -> AsyncIterator[Stack]:
    """One address to stream to: of a gateway before a worker, or of a worker itself."""
    parts = {"direct": 1, "workers": 0, "gateways": 0} if request.param == "direct" else {}
    async with running_stack(
        broker, redis, nats_server, redis_server, tmp_path, **parts
    ) as running:
        yield running
