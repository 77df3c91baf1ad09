"""Calls of one event-loop turn: they share a round trip, and nothing else."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from foundation.errors import Conflict, NotFound
from registry.live import Ownership, SessionStore
from tests.unit.registry.live.conftest import new_record


async def test_sessions_are_taken_over_one_connection_when_they_are_taken_at_once(
    store: SessionStore, redis: Redis
) -> None:
    records = [new_record() for _ in range(300)]
    for record in records:
        await store.create(record)
    # The script is unknown to the server too.
    await redis.script_flush()
    before = (await redis.info("stats"))["total_connections_received"]
    taken = await asyncio.gather(
        *(
            store.take(record, worker="w", above_epoch=number)
            for number, record in enumerate(records)
        )
    )
    assert [ownership.epoch for ownership in taken] == list(range(1, 301))
    # 300 make three pipelines.
    assert (await redis.info("stats"))["total_connections_received"] - before < 5


async def test_one_call_fails_alone_when_others_share_its_round_trip(store: SessionStore) -> None:
    ended, newer, good = new_record(), new_record(), new_record()
    for record in (ended, newer, good):
        await store.create(record)
    await store.end(ended.id, epoch=None, reason="closed")
    ticket = await store.issue_ticket(newer.id, ttl_s=60)
    for _ in range(2):
        attachment = await store.attach(ticket, "ticket", gateway="g")
        ticket = await store.issue_ticket(newer.id, ttl_s=60)
    assert attachment.number == 2
    results = await asyncio.gather(
        store.take(ended, worker="w", above_epoch=0),
        store.take(newer, worker="w", above_epoch=0, attachment=1),
        store.take(good, worker="w", above_epoch=0),
        return_exceptions=True,
    )
    assert isinstance(results[0], NotFound)
    assert isinstance(results[1], Conflict)
    assert isinstance(results[2], Ownership)


async def test_other_calls_are_answered_when_one_caller_is_cancelled(store: SessionStore) -> None:
    records = [new_record() for _ in range(3)]
    for record in records:
        await store.create(record)
    calls = [asyncio.create_task(store.take(r, worker="w", above_epoch=0)) for r in records]
    await asyncio.sleep(0)
    calls[1].cancel()
    assert (await calls[0]).epoch == (await calls[2]).epoch == 1
    with pytest.raises(asyncio.CancelledError):
        await calls[1]
