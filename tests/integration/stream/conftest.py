"""A gateway and a worker on real NATS and Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis

from broker.nats import NatsBroker
from tests.support.servers import NatsServer, RedisServer
from tests.support.stack import Running, Stack, running_stack


@pytest.fixture
def running(
    broker: NatsBroker,
    redis: Redis,
    nats_server: NatsServer,
    redis_server: RedisServer,
    tmp_path: Path,
) -> Running:
    """Starts a stack of the parts and settings that a test names, for an `async with`."""
    return partial(running_stack, broker, redis, nats_server, redis_server, tmp_path)


@pytest.fixture
async def stack(running: Running) -> AsyncIterator[Stack]:
    """One gateway, one worker."""
    async with running() as started:
        yield started


@pytest.fixture(params=["broker", "direct"])
async def either_stack(request: pytest.FixtureRequest, running: Running) -> AsyncIterator[Stack]:
    """One address to stream to: of a gateway before a worker, or of a worker itself."""
    parts = {"direct": 1, "workers": 0, "gateways": 0} if request.param == "direct" else {}
    async with running(**parts) as started:
        yield started
