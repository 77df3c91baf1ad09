from __future__ import annotations

from redis.asyncio import Redis

from registry.live import Hold, Save, SessionRecord, SessionStore


async def test_next_owner_learns_of_a_pause_when_the_last_one_told_of_it(
    store: SessionStore, record: SessionRecord
) -> None:
    first = await store.take(record, worker="w1", above_epoch=0)
    assert first.paused is False
    assert await store.touch([Hold(record, first.epoch, paused=True)]) == [True]
    second = await store.take(record, worker="w2", above_epoch=0)
    assert second.paused is True
    # Who lost it can't take the pause back.
    assert await store.touch([Hold(record, first.epoch, paused=False)]) == [False]
    assert await store.save([Save(record.id, second.epoch, b"", record)]) == [True]
    third = await store.take(record, worker="w3", above_epoch=0)
    assert third.paused is True
    assert await store.touch([Hold(record, third.epoch, paused=False)]) == [True]
    assert (await store.take(record, worker="w4", above_epoch=0)).paused is False


async def test_pause_is_there_again_when_redis_lost_it_and_its_owner_lives(
    store: SessionStore, redis: Redis, record: SessionRecord
) -> None:
    owned = await store.take(record, worker="w1", above_epoch=0)
    await redis.flushdb()
    assert await store.touch([Hold(record, owned.epoch, "w1", paused=True)]) == [True]
    assert (await store.take(record, worker="w2", above_epoch=0)).paused is True
