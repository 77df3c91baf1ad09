from __future__ import annotations

import pytest

from foundation.errors import NotFound
from registry.records import (
    Database,
    SessionRecords,
    VersionDraft,
    VersionRecords,
)


async def open_one(sessions: SessionRecords, session: str, tenant: str = "default") -> None:
    await sessions.open(
        session, tenant, "gru", None, pool="default", config={"mode": "infer"}, created_by="k"
    )


async def test_session_has_the_facts_of_its_version_when_opened(sessions: SessionRecords) -> None:
    record = await sessions.open(
        "ses_1", "default", "gru", "live", pool="p", config={"mode": "train"}, created_by="k"
    )
    assert (record.version, record.stateful) == (1, True)
    assert await sessions.read("default", "ses_1") == record


@pytest.mark.parametrize(
    ("reference", "number"), [(1, 1), (2, 2), ("live", 1), ("old", 1), ("latest", 2), (None, 1)]
)
async def test_session_has_the_version_that_its_reference_means(
    sessions: SessionRecords, database: Database, reference: int | str | None, number: int
) -> None:
    draft = VersionDraft("numpy", {}, "", False, True, 1, "upload", "admin")
    async with VersionRecords(database).adding("default", "gru", draft):
        pass
    await VersionRecords(database).put_alias("default", "gru", "old", 1)
    record = await sessions.open(
        "ses_1", "default", "gru", reference, pool="p", config={}, created_by="k"
    )
    assert (record.version, record.stateful) == (number, number == 1)
    assert await sessions.read("default", "ses_1") == record


async def test_session_is_not_opened_when_there_is_no_such_network(
    sessions: SessionRecords,
) -> None:
    with pytest.raises(NotFound, match="'nothing'"):
        await sessions.open(
            "ses_1", "default", "nothing", None, pool="p", config={}, created_by="k"
        )
    with pytest.raises(NotFound, match="'7'"):
        await sessions.open("ses_1", "default", "gru", 7, pool="p", config={}, created_by="k")


async def test_session_is_not_found_when_it_is_another_tenants(sessions: SessionRecords) -> None:
    await open_one(sessions, "ses_1", "other")
    with pytest.raises(NotFound):
        await sessions.read("default", "ses_1")
    with pytest.raises(NotFound):
        await sessions.configure("default", "ses_1", {"mode": "train"})
    assert (await sessions.page("default", limit=5)).items == []


async def test_sessions_come_newest_first_when_paged(sessions: SessionRecords) -> None:
    for number in range(5):
        await open_one(sessions, f"ses_{number}")
    first = await sessions.page("default", limit=3)
    second = await sessions.page("default", limit=3, cursor=first.next_cursor)
    ids = [session.id for session in first.items + second.items]
    assert ids == ["ses_4", "ses_3", "ses_2", "ses_1", "ses_0"]
    assert second.next_cursor is None


async def test_sessions_are_filtered_when_asked(sessions: SessionRecords) -> None:
    await open_one(sessions, "ses_1")
    await open_one(sessions, "ses_2")
    await sessions.end({"ses_1": "closed"})
    for ended, expected in ((True, ["ses_1"]), (False, ["ses_2"]), (None, ["ses_2", "ses_1"])):
        page = await sessions.page("default", limit=5, ended=ended)
        assert [session.id for session in page.items] == expected
    assert (await sessions.page("default", limit=5, network="other")).items == []
    assert [s.id for s in await sessions.unended(limit=5)] == ["ses_2"]


async def test_session_keeps_the_first_reason_when_it_ends_twice(
    sessions: SessionRecords,
) -> None:
    await open_one(sessions, "ses_1")
    await sessions.end({"ses_1": "closed"})
    await sessions.end({"ses_1": "expired"})
    ended = await sessions.read("default", "ses_1")
    assert ended.ended_reason == "closed"
    assert ended.ended_ms is not None


async def test_configuration_keeps_its_other_keys_when_one_changes(
    sessions: SessionRecords,
) -> None:
    await open_one(sessions, "ses_1")
    await sessions.configure("default", "ses_1", {"resume_ttl_s": 60})
    assert (await sessions.read("default", "ses_1")).config == {
        "mode": "infer",
        "resume_ttl_s": 60,
    }


async def test_forget_deletes_only_sessions_that_ended_long_ago(sessions: SessionRecords) -> None:
    for number in range(3):
        await open_one(sessions, f"ses_{number}")
    await sessions.end({"ses_0": "closed", "ses_1": "closed"})
    ended_ms = (await sessions.read("default", "ses_1")).ended_ms
    assert ended_ms is not None
    assert await sessions.forget(ended_before_ms=0, limit=10) == 0
    assert await sessions.forget(ended_before_ms=ended_ms + 1, limit=1) == 1
    assert await sessions.forget(ended_before_ms=ended_ms + 1, limit=10) == 1
    assert [s.id for s in (await sessions.page("default", limit=5)).items] == ["ses_2"]
