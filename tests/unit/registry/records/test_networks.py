from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from foundation.errors import Conflict, InvalidInput, NotFound
from registry.records import (
    Database,
    NetworkRecords,
    SessionRecords,
    Version,
    VersionDraft,
    VersionRecords,
)


def draft(**changes: Any) -> VersionDraft:
    facts: dict[str, Any] = {
        "backend": "numpy",
        "spec": {"name": "digits"},
        "weights": "00ff",
        "stateful": False,
        "trainable": True,
        "parameters": 12,
        "source": "created",
        "created_by": "admin",
    }
    return VersionDraft(**(facts | changes))


async def create(database: Database, name: str, tenant: str = "default") -> Version:
    networks = NetworkRecords(database)
    async with networks.creating(tenant, name, draft(), aliases=["live"]) as version:
        pass
    return version


async def add(
    database: Database, name: str, aliases: Sequence[str] = (), **changes: Any
) -> Version:
    versions = VersionRecords(database)
    async with versions.adding("default", name, draft(**changes), aliases=aliases) as version:
        pass
    return version


async def open_session(database: Database, session: str, network: str, version: int) -> None:
    await SessionRecords(database).open(
        session, "default", network, version, pool="default", config={}, created_by="admin"
    )


async def test_network_has_version_1_and_its_alias_when_created(database: Database) -> None:
    version = await create(database, "digits")
    assert version.version == 1
    network = await NetworkRecords(database).read("default", "digits")
    assert network.latest == version
    assert network.aliases == {"live": 1}


async def test_network_is_refused_when_its_name_is_taken(database: Database) -> None:
    await create(database, "digits")
    with pytest.raises(Conflict, match="'digits' exists"):
        await create(database, "digits")


async def test_network_is_created_once_when_calls_race(database: Database) -> None:
    answers = await asyncio.gather(
        *(create(database, "digits") for _ in range(5)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, Conflict)]
    assert len(refused) == 4


async def test_network_does_not_exist_when_the_block_fails(database: Database) -> None:
    with pytest.raises(RuntimeError):
        async with NetworkRecords(database).creating("default", "digits", draft()):
            raise RuntimeError
    with pytest.raises(NotFound):
        await NetworkRecords(database).read("default", "digits")


async def test_network_is_not_found_when_it_is_another_tenants(database: Database) -> None:
    await create(database, "digits", tenant="other")
    networks, versions = NetworkRecords(database), VersionRecords(database)
    for call in (
        networks.read("default", "digits"),
        networks.delete("default", "digits"),
        versions.read("default", "digits", None),
        versions.page("default", "digits", limit=5),
        versions.delete("default", "digits", 1),
        versions.put_alias("default", "digits", "live", 1),
        versions.delete_alias("default", "digits", "live"),
    ):
        with pytest.raises(NotFound):
            await call
    assert (await networks.page("default", limit=5)).items == []
    assert (await networks.page("other", limit=5)).items != []


async def test_networks_come_once_each_and_in_order_when_paged(database: Database) -> None:
    names = ["a", "b", "c", "d", "e"]
    for name in reversed(names):
        await create(database, name)
    await add(database, "c")
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = await NetworkRecords(database).page("default", limit=2, cursor=cursor)
        seen += [(network.name, network.latest.version) for network in page.items]
        cursor, pages = page.next_cursor, pages + 1
    assert seen == [("a", 1), ("b", 1), ("c", 2), ("d", 1), ("e", 1)]
    assert pages == 3


@pytest.mark.parametrize("cursor", ["", "%", "W10", "MQ", "ä"])
async def test_page_is_refused_when_the_cursor_is_not_one(database: Database, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        await NetworkRecords(database).page("default", limit=2, cursor=cursor)


@pytest.mark.parametrize(
    ("reference", "number"), [(1, 1), (2, 2), ("live", 2), ("latest", 3), ("old", 1), (None, 2)]
)
async def test_version_is_found_by_number_and_alias(
    database: Database, reference: int | str | None, number: int
) -> None:
    await create(database, "digits")
    await VersionRecords(database).put_alias("default", "digits", "old", 1)
    await add(database, "digits", aliases=["live"])
    await add(database, "digits")
    version = await VersionRecords(database).read("default", "digits", reference)
    assert version.version == number


async def test_version_is_the_newest_when_there_is_no_live(database: Database) -> None:
    await create(database, "digits")
    await add(database, "digits")
    await VersionRecords(database).delete_alias("default", "digits", "live")
    assert (await VersionRecords(database).read("default", "digits", None)).version == 2


@pytest.mark.parametrize("reference", [2, "stable"])
async def test_version_is_not_found_when_nothing_has_that_name(
    database: Database, reference: int | str
) -> None:
    await create(database, "digits")
    with pytest.raises(NotFound, match=str(reference)):
        await VersionRecords(database).read("default", "digits", reference)


async def test_version_is_added_once_when_its_origin_repeats(database: Database) -> None:
    await create(database, "digits")
    first = await add(database, "digits", origin="snapshot:ses_1:a")
    again = await add(database, "digits", origin="snapshot:ses_1:a")
    other = await add(database, "digits", origin="snapshot:ses_1:b")
    assert again == first
    assert other.version > first.version


async def test_versions_come_newest_first_with_their_aliases(database: Database) -> None:
    await create(database, "digits")
    await add(database, "digits", aliases=["best", "stable"])
    page = await VersionRecords(database).page("default", "digits", limit=1)
    assert [(v.version, v.aliases) for v in page.items] == [(2, ("best", "stable"))]
    page = await VersionRecords(database).page(
        "default", "digits", limit=1, cursor=page.next_cursor
    )
    assert [(v.version, v.aliases) for v in page.items] == [(1, ("live",))]
    assert page.next_cursor is None


async def test_version_is_kept_when_an_alias_points_at_it(database: Database) -> None:
    await create(database, "digits")
    await add(database, "digits")
    with pytest.raises(Conflict, match="alias live"):
        await VersionRecords(database).delete("default", "digits", 1)


async def test_version_is_kept_when_it_is_the_only_one(database: Database) -> None:
    await create(database, "digits")
    await VersionRecords(database).delete_alias("default", "digits", "live")
    with pytest.raises(Conflict, match="only one"):
        await VersionRecords(database).delete("default", "digits", 1)


async def test_version_is_kept_when_a_session_uses_it(database: Database) -> None:
    await create(database, "digits")
    await add(database, "digits")
    await open_session(database, "ses_1", "digits", 2)
    with pytest.raises(Conflict, match="ses_1"):
        await VersionRecords(database).delete("default", "digits", 2)
    await SessionRecords(database).end({"ses_1": "closed"})
    assert (await VersionRecords(database).delete("default", "digits", 2)).version == 2


async def test_network_is_kept_when_a_session_uses_it(database: Database) -> None:
    await create(database, "digits")
    await open_session(database, "ses_1", "digits", 1)
    with pytest.raises(Conflict, match="ses_1"):
        await NetworkRecords(database).delete("default", "digits")
    await SessionRecords(database).end({"ses_1": "closed"})
    assert [v.version for v in await NetworkRecords(database).delete("default", "digits")] == [1]


async def test_version_numbers_go_on_when_a_deleted_network_is_created_again(
    database: Database,
) -> None:
    await create(database, "digits")
    await add(database, "digits")
    await NetworkRecords(database).delete("default", "digits")
    with pytest.raises(NotFound):
        await NetworkRecords(database).read("default", "digits")
    with pytest.raises(NotFound):
        await add(database, "digits")
    assert (await create(database, "digits")).version == 3
    assert (await NetworkRecords(database).read("default", "digits")).aliases == {"live": 3}


async def test_weights_are_told_as_named_when_a_version_of_any_tenant_names_them(
    database: Database,
) -> None:
    versions = VersionRecords(database)
    assert await versions.named(["00ff"]) is None
    await create(database, "digits")
    await create(database, "digits", tenant="other")
    await add(database, "digits", weights="0101")
    assert await versions.named(["00ff", "0101", "0202"]) == {"00ff", "0101"}
    assert await versions.named(["0202"]) == set()
    await versions.delete("default", "digits", 2)
    assert await versions.named(["0101"]) == set()
