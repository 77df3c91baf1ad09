from __future__ import annotations

import pytest
from redis.asyncio import Redis

from foundation.errors import NotFound, Unauthenticated
from registry.live import Hold, Save, Seat, SessionRecord, SessionStore
from registry.live.model import LiveSession


async def live(store: SessionStore, record: SessionRecord) -> LiveSession:
    [session] = await store.read([record.id])
    assert session is not None
    return session


async def test_take_gives_a_higher_epoch_when_taken_again(
    store: SessionStore, record: SessionRecord
) -> None:
    await store.create(record)
    first = await store.take(record, worker="w1", above_epoch=0)
    second = await store.take(record, worker="w2", above_epoch=0)
    third = await store.take(record, worker="w3", above_epoch=second.epoch + 10)
    assert (first.epoch, second.epoch, third.epoch) == (1, 2, 13)
    assert first.checkpoint is None
    session = await live(store, record)
    assert (session.owner, session.epoch) == ("w3", 13)


async def test_previous_owner_is_fenced_when_the_session_is_taken(
    store: SessionStore, redis: Redis, record: SessionRecord
) -> None:
    await store.create(record)
    old = await store.take(record, worker="w1", above_epoch=0)
    assert await store.save([Save(record.id, old.epoch, b"one", record)]) == [True]
    new = await store.take(record, worker="w2", above_epoch=old.epoch)
    assert new.checkpoint == b"one"
    assert await store.save([Save(record.id, old.epoch, b"late", record)]) == [False]
    assert await store.touch([Hold(record, old.epoch)]) == [False]
    assert await store.release(record.id, old.epoch) is False
    assert await store.end(record.id, epoch=old.epoch, reason="late") is False
    assert await redis.get(f"dc:{{{record.id}}}:ckpt") == b"one"
    session = await live(store, record)
    assert (session.owner, session.epoch, session.ended_reason) == ("w2", new.epoch, "")


async def test_checkpoint_comes_back_unchanged_when_it_holds_any_bytes(
    store: SessionStore, record: SessionRecord
) -> None:
    data = bytes(range(256)) * 1000
    owned = await store.take(record, worker="w1", above_epoch=0)
    assert await store.save([Save(record.id, owned.epoch, data, record)]) == [True]
    assert (await store.take(record, worker="w2", above_epoch=0)).checkpoint == data
    assert await store.save([Save(record.id, owned.epoch + 1, b"", record)]) == [True]
    assert (await store.take(record, worker="w3", above_epoch=0)).checkpoint == b""


async def test_take_begins_at_the_time_when_redis_lost_the_record(
    store: SessionStore, redis: Redis, record: SessionRecord
) -> None:
    await store.create(record)
    owned = await store.take(record, worker="w1", above_epoch=0)
    await redis.flushdb()
    now = int((await redis.time())[0])
    again = await store.take(record, worker="w2", above_epoch=owned.epoch, attachment=7)
    assert again.epoch >= now
    assert again.checkpoint is None
    session = await live(store, record)
    assert (session.record, session.owner, session.attachment) == (record, "w2", 7)
    far_above = await store.take(record, worker="w3", above_epoch=again.epoch + 1000)
    assert far_above.epoch == again.epoch + 1001
    assert await redis.pttl(f"dc:{{{record.id}}}:rec") > 0


async def test_take_exceeds_what_was_told_when_redis_lost_the_record(
    store: SessionStore, record: SessionRecord
) -> None:
    told = 5_000_000_000
    assert (await store.take(record, worker="w1", above_epoch=told)).epoch == told + 1


@pytest.mark.parametrize("how", ["save", "touch"])
async def test_owner_makes_the_record_again_when_redis_lost_it(
    store: SessionStore, redis: Redis, record: SessionRecord, how: str
) -> None:
    await store.create(record)
    owned = await store.take(record, worker="w1", above_epoch=0)
    await redis.flushdb()
    if how == "save":
        save = Save(record.id, owned.epoch, b"state", record, "w1", Seat(3, "g1", "d"))
        assert await store.save([save]) == [True]
    else:
        hold = Hold(record, owned.epoch, "w1", Seat(3, "g1", "d"))
        assert await store.touch([hold]) == [True]
    session = await live(store, record)
    assert (session.owner, session.epoch, session.attachment) == ("w1", owned.epoch, 3)
    for key in await redis.keys("*"):
        assert 0 < await redis.pttl(key) <= 240_000
    taken = await store.take(record, worker="w2", above_epoch=0)
    assert taken.epoch == owned.epoch + 1
    assert taken.checkpoint == (b"state" if how == "save" else None)


async def test_owner_goes_on_when_redis_came_back_with_older_data(
    store: SessionStore, redis: Redis, record: SessionRecord
) -> None:
    await store.create(record)
    await store.take(record, worker="w1", above_epoch=0)
    assert await store.touch([Hold(record, 5, worker="w2")]) == [True]
    session = await live(store, record)
    assert (session.owner, session.epoch) == ("w2", 5)


async def test_saves_are_judged_one_by_one_when_written_together(
    store: SessionStore, redis: Redis, record: SessionRecord
) -> None:
    records = [
        SessionRecord.from_json(record.to_json().replace(b"digits", b"net%d" % i)) for i in range(3)
    ]
    ids = [record.id[:-1] + c for c in "abc"]
    records = [
        SessionRecord.from_json(r.to_json().replace(record.id.encode(), i.encode()))
        for r, i in zip(records, ids, strict=True)
    ]
    owned = [await store.take(r, worker="w1", above_epoch=0) for r in records]
    await store.take(records[1], worker="w2", above_epoch=0)
    await redis.script_flush()
    saves = [Save(r.id, o.epoch, b"s", r) for r, o in zip(records, owned, strict=True)]
    assert await store.save(saves) == [True, False, True]
    assert await store.save([]) == []
    holds = [Hold(r, o.epoch) for r, o in zip(records, owned, strict=True)]
    assert await store.touch(holds) == [True, False, True]


async def test_scripts_run_when_the_server_forgot_them(
    store: SessionStore, redis: Redis, record: SessionRecord
) -> None:
    await store.create(record)
    await redis.script_flush()
    assert (await store.take(record, worker="w1", above_epoch=0)).epoch == 1


async def test_touch_keeps_the_session_and_its_checkpoint_when_repeated(
    store: SessionStore, redis: Redis, record: SessionRecord
) -> None:
    owned = await store.take(record, worker="w1", above_epoch=0)
    await store.save([Save(record.id, owned.epoch, b"x", record)])
    keys = [f"dc:{{{record.id}}}:rec", f"dc:{{{record.id}}}:ckpt"]
    for key in keys:
        await redis.pexpire(key, 5000)
    assert await store.touch([Hold(record, owned.epoch)]) == [True]
    for key in keys:
        assert await redis.pttl(key) > 200_000


async def test_failures_count_owners_that_vanish_when_nothing_is_saved(
    store: SessionStore, redis: Redis, record: SessionRecord
) -> None:
    await store.create(record)
    owned = [await store.take(record, worker=f"w{i}", above_epoch=0) for i in range(4)]
    assert [o.failures for o in owned] == [0, 1, 2, 3]
    # Being there a moment proves nothing, a checkpoint does.
    await store.touch([Hold(record, owned[-1].epoch)])
    assert (await store.take(record, worker="w4", above_epoch=0)).failures == 4
    await store.save([Save(record.id, owned[-1].epoch + 1, b"x", record)])
    assert (await store.take(record, worker="w5", above_epoch=0)).failures == 1
    # So does having been there for long.
    await redis.hset(f"dc:{{{record.id}}}:rec", "taken", 1000)
    await store.touch([Hold(record, owned[-1].epoch + 2)])
    last = await store.take(record, worker="w6", above_epoch=0)
    assert last.failures == 1
    assert await store.release(record.id, last.epoch) is True
    assert (await store.take(record, worker="w7", above_epoch=0)).failures == 0


async def test_release_leaves_the_checkpoint_when_the_epoch_owns_it(
    store: SessionStore, record: SessionRecord
) -> None:
    owned = await store.take(record, worker="w1", above_epoch=0)
    await store.save([Save(record.id, owned.epoch, b"x", record)])
    assert await store.release(record.id, owned.epoch) is True
    session = await live(store, record)
    assert (session.owner, session.epoch) == ("", owned.epoch)
    assert (await store.take(record, worker="w2", above_epoch=0)).checkpoint == b"x"


async def test_release_answers_false_when_the_session_is_gone(
    store: SessionStore, redis: Redis, record: SessionRecord
) -> None:
    assert await store.release(record.id, 1) is False
    assert await redis.keys("*") == []


@pytest.mark.parametrize("epoch", [1, 2, None])
async def test_end_leaves_only_the_tombstone_when_allowed(
    store: SessionStore, redis: Redis, record: SessionRecord, epoch: int | None
) -> None:
    await store.create(record)
    ticket = await store.issue_ticket(record.id, ttl_s=60)
    resume = (await store.attach(ticket, "ticket", gateway="g1")).resume_token
    owned = await store.take(record, worker="w1", above_epoch=0)
    await store.save([Save(record.id, owned.epoch, b"x", record)])
    assert await store.end(record.id, epoch=epoch, reason="closed\nby user") is True
    assert await store.end(record.id, epoch=epoch, reason="again") is True
    keys = [k for k in await redis.keys("*") if b":ticket:" not in k]
    assert keys == [f"dc:{{{record.id}}}:end".encode()]
    assert 0 < await redis.pttl(keys[0]) <= 600_000
    assert await store.read([record.id]) == [LiveSession(record, ended_reason="closed by user")]
    # Nothing brings it back.
    assert await store.save([Save(record.id, owned.epoch + 9, b"x", record)]) == [False]
    assert await store.touch([Hold(record, owned.epoch + 9)]) == [False]
    with pytest.raises(NotFound) as caught:
        await store.take(record, worker="w2", above_epoch=0)
    assert caught.value.code == "session_ended"
    with pytest.raises(NotFound):
        await store.create(record)
    with pytest.raises(NotFound):
        await store.issue_ticket(record.id, ttl_s=60)
    with pytest.raises(Unauthenticated):
        await store.attach(resume, "resume", gateway="g1")
    assert await store.release(record.id, owned.epoch) is False


async def test_end_leaves_a_tombstone_when_the_record_was_gone(
    store: SessionStore, record: SessionRecord
) -> None:
    assert await store.end(record.id, epoch=None, reason="deleted") is True
    assert await store.read([record.id]) == [None]
    with pytest.raises(NotFound):
        await store.take(record, worker="w1", above_epoch=0)


async def test_create_changes_nothing_when_repeated(
    store: SessionStore, record: SessionRecord
) -> None:
    await store.create(record)
    owned = await store.take(record, worker="w1", above_epoch=0)
    await store.create(record)
    assert (await live(store, record)).epoch == owned.epoch


async def test_replace_changes_the_facts_when_the_session_lives(
    store: SessionStore, record: SessionRecord
) -> None:
    assert await store.replace(record) is False
    await store.create(record)
    changed = SessionRecord.from_json(record.to_json().replace(b"default", b"commit_first"))
    assert await store.replace(changed) is True
    assert (await live(store, record)).record == changed


async def test_read_answers_in_order_when_some_are_unknown(
    store: SessionStore, record: SessionRecord
) -> None:
    await store.create(record)
    assert await store.read(["ses_x", record.id, "ses_y"]) == [None, LiveSession(record), None]
    assert await store.read([]) == []


async def test_next_owner_learns_which_input_ended_the_one_before(
    store: SessionStore, record: SessionRecord
) -> None:
    await store.create(record)
    first = await store.take(record, worker="w1", above_epoch=0)
    assert first.trying == 0
    assert await store.trying(record.id, epoch=first.epoch, seq=7)
    second = await store.take(record, worker="w2", above_epoch=0)
    assert (second.failures, second.trying, second.deaths) == (1, 7, 1)
    assert not await store.trying(record.id, epoch=first.epoch, seq=8)
    assert await store.trying(record.id, epoch=second.epoch, seq=0)
    third = await store.take(record, worker="w3", above_epoch=0)
    assert (third.failures, third.trying) == (2, 0)


@pytest.mark.parametrize("how", ["release", "checkpoint"])
async def test_what_was_computed_is_forgotten_when_its_owner_outlived_it(
    store: SessionStore, record: SessionRecord, how: str
) -> None:
    await store.create(record)
    await store.take(record, worker="w1", above_epoch=0)
    owned = await store.take(record, worker="w2", above_epoch=0)
    assert await store.trying(record.id, epoch=owned.epoch, seq=7)
    if how == "release":
        await store.release(record.id, owned.epoch)
    else:
        assert await store.save([Save(record.id, owned.epoch, b"state", record)]) == [True]
    following = await store.take(record, worker="w3", above_epoch=0)
    assert following.trying == 0


async def test_deaths_count_owners_that_ended_over_the_same_input(
    store: SessionStore, record: SessionRecord
) -> None:
    await store.create(record)
    found: list[tuple[int, int]] = []
    for seq in (7, 7, 8, 8, 8, 0):
        owned = await store.take(record, worker="w", above_epoch=0)
        found.append((owned.trying, owned.deaths))
        if seq:
            await store.trying(record.id, epoch=owned.epoch, seq=seq)
    assert found == [(0, 0), (7, 1), (7, 2), (8, 1), (8, 2), (8, 3)]
    assert (await store.take(record, worker="w", above_epoch=0)).deaths == 0
