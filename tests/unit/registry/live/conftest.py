from __future__ import annotations

import pytest
from redis.asyncio import Redis

from registry.ids import new_session_id
from registry.live import SessionRecord, SessionStore


@pytest.fixture
def store(redis: Redis) -> SessionStore:
    return SessionStore(redis)


@pytest.fixture
def record() -> SessionRecord:
    return new_record()


def new_record(**config: object) -> SessionRecord:
    return SessionRecord(
        id=new_session_id(),
        tenant="acme",
        network="digits",
        version=3,
        pool="default",
        stateful=True,
        config={"delivery": "default", "resume_ttl_s": 120, **config},
        created_ms=1_700_000_000_000,
    )
