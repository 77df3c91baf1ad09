"""A gateway and a worker on real NATS and Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

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
def either_parts(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Of a stack with one address to stream to: a gateway's before a worker, or a worker's own."""
    return {"direct": 1, "workers": 0, "gateways": 0} if request.param == "direct" else {}


@pytest.fixture
async def either_stack(running: Running, either_parts: dict[str, Any]) -> AsyncIterator[Stack]:
    """One address to stream to."""
    async with running(**either_parts) as started:
        yield started
