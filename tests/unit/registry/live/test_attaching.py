from __future__ import annotations

import base64

import pytest
from redis.asyncio import Redis

from foundation.errors import NotFound, Unauthenticated
from registry.ids import new_session_id
from registry.live import SessionRecord, SessionStore
from registry.live.credentials import digest
from registry.live.scripting import Script
from tests.support.conditions import until


def other_session(record: SessionRecord) -> SessionRecord:
    return SessionRecord.from_json(
        record.to_json().replace(record.id.encode(), new_session_id().encode())
    )


async def refused(store: SessionStore, credential: str, kind: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await store.attach(credential, kind, gateway="g1")  # type: ignore[arg-type]
    return caught.value.code


async def first_attach(store: SessionStore, record: SessionRecord) -> str:
    await store.create(record)
    ticket = await store.issue_ticket(record.id, ttl_s=60)
    return (await store.attach(ticket, "ticket", gateway="g1")).resume_token


async def test_ticket_attaches_once_when_good(store: SessionStore, record: SessionRecord) -> None:
    await store.create(record)
    ticket = await store.issue_ticket(record.id, ttl_s=60)
    attachment = await store.attach(ticket, "ticket", gateway="g1")
    assert attachment.record == record
    assert (attachment.number, attachment.first) == (1, True)
    assert (attachment.owner, attachment.epoch, attachment.previous_gateway) == ("", 0, "")
    assert await refused(store, ticket, "ticket") == "ticket_used"
    [live] = await store.read([record.id])
    assert live is not None
    assert (live.gateway, live.attachment, live.attached) == ("g1", 1, True)


async def test_first_ticket_attaches_when_it_came_with_the_session(
    store: SessionStore, record: SessionRecord, redis: Redis
) -> None:
    ticket = await store.open(record, ttl_s=600)
    # As long as the ticket is good, and then half of its own time: longer than its own alone.
    assert 650_000 < await redis.pttl(f"dc:{{{record.id}}}:rec") <= 720_000
    attachment = await store.attach(ticket, "ticket", gateway="g1")
    assert (attachment.record, attachment.number) == (record, 1)
    assert await refused(store, ticket, "ticket") == "ticket_used"


async def test_first_ticket_is_as_one_issued_later(
    store: SessionStore, record: SessionRecord
) -> None:
    assert await refused(store, await store.open(record, ttl_s=0), "ticket") == "ticket_expired"


async def test_session_is_not_opened_when_it_has_ended(
    store: SessionStore, record: SessionRecord
) -> None:
    await store.create(record)
    await store.end(record.id, epoch=None, reason="closed")
    with pytest.raises(NotFound, match="has ended"):
        await store.open(record, ttl_s=60)


async def test_used_ticket_stays_used_when_the_opening_is_repeated(
    store: SessionStore, record: SessionRecord, redis: Redis
) -> None:
    ticket = await store.open(record, ttl_s=60)
    await store.attach(ticket, "ticket", gateway="g1")
    keys = [f"dc:{{{record.id}}}:{key}" for key in ("rec", "end")]
    keys.append(f"dc:{{{record.id}}}:ticket:{digest('ticket', ticket)}")
    await Script("open").run(redis, keys, [record.to_json(), 240_000, 60_000, 600_000])
    assert await refused(store, ticket, "ticket") == "ticket_used"


async def test_ticket_is_refused_when_expired(store: SessionStore, record: SessionRecord) -> None:
    await store.create(record)
    ticket = await store.issue_ticket(record.id, ttl_s=0)
    assert await refused(store, ticket, "ticket") == "ticket_expired"
    assert await refused(store, ticket, "ticket") == "ticket_expired"


async def test_second_ticket_supersedes_when_the_first_is_attached(
    store: SessionStore, record: SessionRecord
) -> None:
    await store.create(record)
    first, second = [await store.issue_ticket(record.id, ttl_s=60) for _ in range(2)]
    await store.attach(first, "ticket", gateway="g1")
    attachment = await store.attach(second, "ticket", gateway="g2")
    assert (attachment.number, attachment.first) == (2, False)
    assert attachment.previous_gateway == "g1"


async def test_ticket_is_not_issued_when_there_is_no_session(store: SessionStore) -> None:
    with pytest.raises(NotFound):
        await store.issue_ticket(new_session_id(), ttl_s=60)


async def test_session_outlives_its_ticket_when_its_resume_time_is_short(
    store: SessionStore, redis: Redis, record: SessionRecord
) -> None:
    record.config["resume_ttl_s"] = 1
    await store.create(record)
    await store.issue_ticket(record.id, ttl_s=60)
    assert await redis.pttl(f"dc:{{{record.id}}}:rec") > 60_000


@pytest.mark.parametrize("kind", ["ticket", "resume"])
@pytest.mark.parametrize(
    "credential", ["", "x", "a" * 83, "a" * 5000, "\u00e9" * 83, "a b", "=" * 84, "-_" * 41]
)
async def test_credential_is_refused_when_malformed(
    store: SessionStore, credential: str, kind: str
) -> None:
    code = {"ticket": "bad_ticket", "resume": "bad_resume_token"}[kind]
    assert await refused(store, credential, kind) == code


async def test_credential_is_refused_when_forged_spliced_or_of_the_other_kind(
    store: SessionStore, record: SessionRecord
) -> None:
    mine, theirs = record, other_session(record)
    resume_token = await first_attach(store, mine)
    await store.create(theirs)
    ticket = await store.issue_ticket(mine.id, ttl_s=60)
    secret = base64.urlsafe_b64decode(ticket + "=")[30:]
    spliced = base64.urlsafe_b64encode(theirs.id.encode() + secret).decode().rstrip("=")
    forged = base64.urlsafe_b64encode(mine.id.encode() + bytes(32)).decode().rstrip("=")
    assert await refused(store, spliced, "ticket") == "bad_ticket"
    assert await refused(store, forged, "ticket") == "bad_ticket"
    assert await refused(store, forged, "resume") == "bad_resume_token"
    assert await refused(store, ticket, "resume") == "bad_resume_token"
    assert await refused(store, resume_token, "ticket") == "bad_ticket"
    # None of this used anything up.
    assert (await store.attach(ticket, "ticket", gateway="g1")).number == 2


async def test_resume_is_refused_when_no_token_was_given_yet(
    store: SessionStore, record: SessionRecord
) -> None:
    await store.create(record)
    ticket = await store.issue_ticket(record.id, ttl_s=60)
    assert await refused(store, ticket, "resume") == "bad_resume_token"


async def test_resume_rotates_the_token_when_attached(
    store: SessionStore, record: SessionRecord
) -> None:
    first = await first_attach(store, record)
    second = await store.attach(first, "resume", gateway="g2")
    assert (second.number, second.first, second.previous_gateway) == (2, False, "g1")
    assert second.resume_token != first
    third = await store.attach(second.resume_token, "resume", gateway="g2")
    assert third.number == 3
    # Two attaches back is too old, confirmed or not.
    assert await refused(store, first, "resume") == "bad_resume_token"


async def test_previous_token_stays_good_when_welcomes_are_lost(
    store: SessionStore, record: SessionRecord
) -> None:
    held = await first_attach(store, record)
    for _ in range(4):
        attachment = await store.attach(held, "resume", gateway="g1")
    await store.confirm(record.id, attachment.number)
    assert await refused(store, held, "resume") == "bad_resume_token"
    assert (await store.attach(attachment.resume_token, "resume", gateway="g1")).number == 6


async def test_confirm_does_nothing_when_a_newer_attachment_came(
    store: SessionStore, record: SessionRecord
) -> None:
    held = await first_attach(store, record)
    await store.attach(held, "resume", gateway="g1")
    await store.confirm(record.id, 1)
    assert (await store.attach(held, "resume", gateway="g1")).number == 3


async def test_lost_welcome_of_a_second_ticket_leaves_the_token_good_when_resumed(
    store: SessionStore, record: SessionRecord
) -> None:
    held = await first_attach(store, record)
    ticket = await store.issue_ticket(record.id, ttl_s=60)
    await store.attach(ticket, "ticket", gateway="g1")
    assert (await store.attach(held, "resume", gateway="g1")).number == 3


async def test_detach_counts_only_when_it_is_the_current_attachment(
    store: SessionStore, record: SessionRecord
) -> None:
    held = await first_attach(store, record)
    await store.attach(held, "resume", gateway="g2")
    await store.detach(record.id, 1)
    [live] = await store.read([record.id])
    assert live is not None
    assert live.attached
    await store.detach(record.id, 2)
    [live] = await store.read([record.id])
    assert live is not None
    assert (live.attached, live.gateway, live.attachment) == (False, "", 2)
    # The token of the confirmed Welcome still works afterwards, and nobody is superseded.
    assert (await store.attach(held, "resume", gateway="g3")).previous_gateway == ""


async def test_attach_gives_the_same_answer_when_the_client_library_repeats_it(
    store: SessionStore, record: SessionRecord
) -> None:
    await store.create(record)
    ticket = await store.issue_ticket(record.id, ttl_s=60)
    presented = digest("ticket", ticket)
    keys = [f"dc:{{{record.id}}}:rec", f"dc:{{{record.id}}}:ticket:{presented}"]
    arguments = ["ticket", presented, "digest-of-the-new-token", "g1"]
    answers = [await store._attach.run(store._redis, keys, arguments) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][:3] == [b"ok", record.to_json(), 1]


async def test_store_keeps_no_secret_when_read(
    store: SessionStore, redis: Redis, record: SessionRecord
) -> None:
    await store.create(record)
    ticket = await store.issue_ticket(record.id, ttl_s=60)
    resume = (await store.attach(ticket, "ticket", gateway="g1")).resume_token
    seen = b""
    for key in await redis.keys("*"):
        value = await (redis.hgetall(key) if key.endswith(b":rec") else redis.get(key))
        seen += key + repr(value).encode()
    for credential in (ticket, resume):
        assert credential.encode() not in seen
        assert credential[-30:].encode() not in seen


async def test_every_key_expires_when_a_session_is_attached_and_owned(
    store: SessionStore, redis: Redis, record: SessionRecord
) -> None:
    token = await first_attach(store, record)
    await store.issue_ticket(record.id, ttl_s=60)
    attachment = await store.attach(token, "resume", gateway="g1")
    owned = await store.take(record, worker="w1", above_epoch=0)
    await redis.set(f"dc:{{{record.id}}}:ckpt", b"x")  # without an expiry, as nothing should leave
    await store.release(record.id, owned.epoch)
    await store.confirm(record.id, attachment.number)
    await store.detach(record.id, attachment.number)
    keys = await redis.keys("*")
    assert len(keys) == 4
    for key in keys:
        assert 0 < await redis.pttl(key) <= 660_000, key


async def test_session_expires_when_nobody_comes(
    store: SessionStore, redis: Redis, record: SessionRecord
) -> None:
    record.config["resume_ttl_s"] = 0.01
    await store.create(record)

    async def gone() -> bool:
        return await store.read([record.id]) == [None]

    await until(gone)
    assert await redis.keys("*") == []
