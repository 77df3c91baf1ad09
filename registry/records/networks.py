"""Networks as records: their names, each with its newest version and its aliases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, delete, func, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.clock import unix_ms
from foundation.errors import Conflict
from registry.records.database import Database
from registry.records.pages import Page, cut, decode_cursor
from registry.records.tables import AliasRow, NetworkRow, VersionRow
from registry.records.version_rows import (
    Version,
    VersionDraft,
    all_versions,
    in_use,
    insert_version,
    missing_network,
    open_sessions,
    put_alias,
    versions_of,
)


@dataclass(frozen=True, slots=True)
class Network:
    """A network with its newest version and its aliases, by name."""

    tenant: str
    name: str
    created_ms: int
    created_by: str
    latest: Version
    aliases: dict[str, int]


class NetworkRecords:
    """Networks and their versions. Everything belongs to a tenant; another's is NotFound."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def creating(
        self, tenant: str, name: str, draft: VersionDraft, *, aliases: Sequence[str] = ()
    ) -> AsyncIterator[Version]:
        """Create a network with its first version; the records exist once the block has ended.

        The block writes what must exist beside the records, such as the manifest. The version is
        1, or above every version of a deleted network of that name.

        Raises:
            Conflict: the name is taken.
        """
        now = unix_ms()
        try:
            async with self._database.write() as connection:
                number = await _claim_name(connection, tenant, name, draft.created_by, now)
                version = await insert_version(connection, tenant, name, number, draft)
                for alias in aliases:
                    await put_alias(connection, tenant, name, alias, number)
                yield version
        except IntegrityError as error:
            raise _taken(name) from error

    async def read(self, tenant: str, name: str) -> Network:
        """One network.

        Raises:
            NotFound: there is none of that name.
        """
        async with self._database.read() as connection:
            found = await _networks(
                connection, _existing(tenant).where(NetworkRow.name == name).limit(1)
            )
        if not found:
            raise missing_network(name)
        return found[0]

    async def page(self, tenant: str, *, limit: int, cursor: str | None = None) -> Page[Network]:
        """Networks by name."""
        after = decode_cursor(cursor, str)
        query = _existing(tenant).order_by(NetworkRow.name).limit(limit + 1)
        if after is not None:
            query = query.where(NetworkRow.name > after)
        async with self._database.read() as connection:
            return cut(await _networks(connection, query), limit, lambda network: network.name)

    async def delete(self, tenant: str, name: str) -> list[Version]:
        """Delete a network with its versions and aliases; answers with the versions.

        Raises:
            NotFound: there is no network of that name.
            Conflict: a session that has not ended uses it.
        """
        async with self._database.write() as connection:
            versions = await all_versions(
                connection, versions_of(tenant, name).with_for_update(of=VersionRow)
            )
            if not versions:
                raise missing_network(name)
            if users := await open_sessions(connection, tenant, name):
                raise in_use(f"network {name!r}", users)
            for table in (AliasRow, VersionRow):
                await connection.execute(
                    delete(table).where(table.tenant == tenant, table.network == name)
                )
            await connection.execute(
                update(NetworkRow)
                .where(NetworkRow.tenant == tenant, NetworkRow.name == name)
                .values(deleted_ms=unix_ms())
            )
        return versions


def _taken(name: str) -> Conflict:
    return Conflict(
        f"a network {name!r} exists already; PUT its weights for a new version, or delete it",
        code="network_exists",
        field="name",
    )


def _existing(tenant: str) -> Select[Any]:
    return select(*NetworkRow.__table__.columns).where(
        NetworkRow.tenant == tenant, NetworkRow.deleted_ms.is_(None)
    )


async def _claim_name(
    connection: AsyncConnection, tenant: str, name: str, created_by: str, now: int
) -> int:
    reborn = await connection.scalar(
        update(NetworkRow)
        .where(
            NetworkRow.tenant == tenant,
            NetworkRow.name == name,
            NetworkRow.deleted_ms.is_not(None),
        )
        .values(
            newest_version=NetworkRow.newest_version + 1,
            created_ms=now,
            created_by=created_by,
            deleted_ms=None,
        )
        .returning(NetworkRow.newest_version)
    )
    if reborn is not None:
        return int(reborn)
    await connection.execute(
        insert(NetworkRow).values(
            tenant=tenant,
            name=name,
            newest_version=1,
            created_ms=now,
            created_by=created_by,
            deleted_ms=None,
        )
    )
    return 1


async def _networks(connection: AsyncConnection, query: Select[Any]) -> list[Network]:
    """The networks of a query, each with its newest version and its aliases: three statements."""
    rows = (await connection.execute(query)).mappings().all()
    if not rows:
        return []
    tenant, names = rows[0]["tenant"], [row["name"] for row in rows]
    newest = (
        select(VersionRow.network, func.max(VersionRow.version))
        .where(VersionRow.tenant == tenant, VersionRow.network.in_(names))
        .group_by(VersionRow.network)
    )
    found = await all_versions(
        connection,
        select(*VersionRow.__table__.columns).where(
            VersionRow.tenant == tenant,
            tuple_(VersionRow.network, VersionRow.version).in_(newest),
        ),
    )
    latest = {version.network: version for version in found}
    aliases: dict[str, dict[str, int]] = {name: {} for name in names}
    for network, alias, version in await connection.execute(
        select(AliasRow.network, AliasRow.alias, AliasRow.version)
        .where(AliasRow.tenant == tenant, AliasRow.network.in_(names))
        .order_by(AliasRow.alias)
    ):
        aliases[network][alias] = version
    return [
        Network(
            tenant=tenant,
            name=row["name"],
            created_ms=row["created_ms"],
            created_by=row["created_by"],
            latest=latest[row["name"]],
            aliases=aliases[row["name"]],
        )
        for row in rows
    ]
