"""Sessions that Redis lost: records are in SQL, and owners or clients bring them back."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from registry.live import Hold, SessionStore
from rest_api.sessions import liveness
from tests.integration.rest_api.conftest import create_digits, open_session


@pytest.fixture(autouse=True)
def _nothing_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    # A session counts as alive for 30 s after its creation; these tests are about older ones.
    monkeypatch.setattr(liveness, "FRESH_MS", -1)


@pytest.fixture
async def opened(api: httpx.AsyncClient) -> dict[str, Any]:
    await create_digits(api)
    return await open_session(api)


async def test_ticket_is_minted_anew_when_redis_lost_the_session(
    api: httpx.AsyncClient, store: SessionStore, redis: Redis, opened: dict[str, Any]
) -> None:
    before = await store.attach(opened["stream"]["ticket"], "ticket", gateway="gw-1")
    sleeper = await store.take(before.record, worker="worker-asleep", above_epoch=0)
    await redis.flushdb()
    session = opened["session"]["id"]
    assert (await api.get(f"/v1/sessions/{session}")).json()["state"] != "ended"
    answer = await api.post(f"/v1/sessions/{session}/tickets")
    assert answer.status_code == 201, answer.text
    again = await store.attach(answer.json()["stream"]["ticket"], "ticket", gateway="gw-1")
    assert again.record == before.record
    # An owner that slept through all this is fenced when it wakes up.
    assert again.epoch > sleeper.epoch
    asleep = Hold(before.record, sleeper.epoch, worker="worker-asleep")
    assert await store.touch([asleep]) == [False]


async def test_ticket_waits_for_the_owner_when_it_puts_the_session_back(
    api: httpx.AsyncClient, store: SessionStore, redis: Redis, opened: dict[str, Any]
) -> None:
    attachment = await store.attach(opened["stream"]["ticket"], "ticket", gateway="gw-1")
    owned = await store.take(attachment.record, worker="worker-1", above_epoch=0)
    await redis.flushdb()
    session = opened["session"]["id"]
    asking = asyncio.create_task(api.post(f"/v1/sessions/{session}/tickets"))
    await store.touch([Hold(attachment.record, owned.epoch, worker="worker-1")])
    assert (await asking).status_code == 201
    (live,) = await store.read([session])
    assert live is not None
    assert (live.owner, live.epoch) == ("worker-1", owned.epoch)


async def test_session_has_expired_when_redis_lost_nothing_since_it_was_made(
    api: httpx.AsyncClient, store: SessionStore, redis: Redis, opened: dict[str, Any]
) -> None:
    session = opened["session"]["id"]
    await redis.delete(f"dc:{{{session}}}:rec")
    answer = await api.post(f"/v1/sessions/{session}/tickets")
    assert (answer.status_code, answer.json()["code"]) == (404, "session_ended")
    assert "expired" in answer.json()["detail"]


async def test_session_that_redis_lost_expires_when_nobody_comes_for_it(
    api: httpx.AsyncClient,
    redis: Redis,
    opened: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await redis.flushdb()
    session = opened["session"]["id"]
    assert (await api.get(f"/v1/sessions/{session}")).json()["state"] == "open"
    later_ms = int(time.time() * 1000) + 2 * 120_000 + 1000
    monkeypatch.setattr(liveness, "unix_ms", lambda: later_ms)
    assert (await api.get(f"/v1/sessions/{session}")).json()["ended_reason"] == "expired"
