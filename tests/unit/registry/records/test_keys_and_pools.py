from __future__ import annotations

import asyncio

import pytest

from foundation.errors import Conflict, InvalidInput, NotFound
from registry.records import Database, IdempotencyRecords, KeyRecords, PoolRecords, Role
from registry.records import idempotency as idempotency_module
from registry.records.idempotency import Claim, StoredAnswer
from registry.records.keys import key_hash, key_id, new_key_text


def test_key_text_has_its_id_and_is_new_each_time() -> None:
    first, second = new_key_text(), new_key_text()
    assert first != second
    assert first == f"dck_{key_id(first)}_{first[13:]}"
    assert len(first) == 56


@pytest.mark.parametrize("text", ["", "dck_", "dck_abcdefgh_short", new_key_text() + "x", "ä" * 56])
def test_key_text_is_refused_when_it_is_not_one(text: str) -> None:
    with pytest.raises(InvalidInput):
        key_id(text)


def test_role_covers_those_below_it() -> None:
    assert Role.ADMIN.covers(Role.VIEWER)
    assert Role.USER.covers(Role.USER)
    assert not Role.USER.covers(Role.OPERATOR)


async def make(keys: KeyRecords, role: Role, tenant: str = "default") -> str:
    text = new_key_text()
    await keys.create(text, tenant=tenant, name="n", role=role, created_by="admin")
    return key_id(text)


async def test_key_is_stored_as_its_hash_only(database: Database) -> None:
    keys, text = KeyRecords(database), new_key_text()
    made = await keys.create(text, tenant="default", name="n", role=Role.USER, created_by="a")
    assert made.sha256 == key_hash(text)
    assert await keys.read(key_id(text)) == made
    assert text not in repr(made)


async def delete(keys: KeyRecords, identity: str) -> None:
    async with keys.deleting("default", identity) as key:
        assert key.id == identity


async def test_key_is_kept_when_it_is_the_last_admin(database: Database) -> None:
    keys = KeyRecords(database)
    first, second = await make(keys, Role.ADMIN), await make(keys, Role.ADMIN)
    await delete(keys, first)
    with pytest.raises(Conflict, match=second):
        await delete(keys, second)
    assert await keys.count_admins("default") == 1


async def test_key_is_kept_when_the_block_fails(database: Database) -> None:
    keys = KeyRecords(database)
    identity = await make(keys, Role.USER)

    async def fail() -> None:
        async with keys.deleting("default", identity):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await keys.read(identity) is not None


async def test_key_is_not_deleted_when_it_is_another_tenants(database: Database) -> None:
    keys = KeyRecords(database)
    await make(keys, Role.ADMIN)
    other = await make(keys, Role.USER, tenant="other")
    with pytest.raises(NotFound):
        await delete(keys, other)
    assert [key.id for key in (await keys.page("other", limit=5)).items] == [other]


async def test_pool_keeps_its_replicas_when_ensured_again(database: Database) -> None:
    pools = PoolRecords(database)
    await asyncio.gather(*(pools.ensure("default", 2) for _ in range(3)))
    scaled = await pools.scale("default", 5)
    assert scaled is not None
    assert scaled.replicas == 5
    assert (await pools.ensure("default", 2)).replicas == 5
    assert await pools.scale("nothing", 1) is None
    assert [pool.name for pool in (await pools.page(limit=5)).items] == ["default"]


async def test_one_call_gets_the_claim_when_several_race(database: Database) -> None:
    answers = IdempotencyRecords(database)
    begun = await asyncio.gather(*(answers.begin("k", "key", "print") for _ in range(6)))
    claims = [one for one in begun if isinstance(one, Claim)]
    assert len(claims) == 1
    assert begun.count(StoredAnswer("print", None, b"")) == 5
    await answers.finish(claims[0], 201, b"answer")
    assert await answers.begin("k", "key", "print") == StoredAnswer("print", 201, b"answer")
    assert isinstance(await answers.begin("other", "key", "print"), Claim)


async def test_key_is_free_again_when_its_call_failed(database: Database) -> None:
    answers = IdempotencyRecords(database)
    claim = await answers.begin("k", "key", "print")
    assert isinstance(claim, Claim)
    await answers.abandon(claim)
    assert isinstance(await answers.begin("k", "key", "other"), Claim)


async def test_claim_is_taken_over_when_its_call_died(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = IdempotencyRecords(database)
    dead = await answers.begin("k", "key", "print")
    assert isinstance(dead, Claim)
    monkeypatch.setattr(idempotency_module, "ABANDONED_MS", -1000)
    heir = await answers.begin("k", "key", "print")
    assert isinstance(heir, Claim)
    await answers.finish(dead, 500, b"late")
    await answers.finish(heir, 201, b"answer")
    assert await answers.begin("k", "key", "print") == StoredAnswer("print", 201, b"answer")


async def test_answers_are_forgotten_when_old(database: Database) -> None:
    answers = IdempotencyRecords(database)
    await answers.begin("k", "key", "print")
    assert await answers.forget(started_before_ms=0) == 0
    assert await answers.forget(started_before_ms=1 << 60) == 1
