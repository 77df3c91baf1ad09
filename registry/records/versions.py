"""Versions of networks as records, and the aliases that point at them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import delete, select, update

from foundation.errors import Conflict
from registry.records.database import Database
from registry.records.pages import Page, cut, decode_cursor
from registry.records.tables import AliasRow, NetworkRow, VersionRow
from registry.records.version_rows import (
    Version,
    VersionDraft,
    all_versions,
    first_version,
    in_use,
    insert_version,
    is_alias,
    missing_network,
    missing_version,
    open_sessions,
    put_alias,
    require_network,
    resolve,
    versions_of,
    with_aliases,
)


class VersionRecords:
    """Versions by number or alias. Another tenant's are NotFound."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def adding(
        self, tenant: str, network: str, draft: VersionDraft, *, aliases: Sequence[str] = ()
    ) -> AsyncIterator[Version]:
        """Add a version to a network; it exists once the block has ended.

        The block writes what must exist beside the record, such as the manifest.

        Raises:
            NotFound: there is no network of that name.
        """
        async with self._database.write() as connection:
            # Also the lock under which the look for the origin is safe.
            number = await connection.scalar(
                update(NetworkRow)
                .where(
                    NetworkRow.tenant == tenant,
                    NetworkRow.name == network,
                    NetworkRow.deleted_ms.is_(None),
                )
                .values(newest_version=NetworkRow.newest_version + 1)
                .returning(NetworkRow.newest_version)
            )
            if number is None:
                raise missing_network(network)
            version = None
            if draft.origin is not None:
                version = await first_version(
                    connection,
                    versions_of(tenant, network).where(VersionRow.origin == draft.origin),
                )
            if version is None:
                version = await insert_version(connection, tenant, network, number, draft)
            for alias in aliases:
                await put_alias(connection, tenant, network, alias, version.version)
            yield version

    async def read(self, tenant: str, network: str, reference: int | str | None) -> Version:
        """One version, with its aliases. None: `live`, or the newest where there is no `live`.

        Raises:
            NotFound: there is no such network or version.
        """
        async with self._database.read() as connection:
            version = await resolve(connection, tenant, network, reference)
            return (await with_aliases(connection, [version]))[0]

    async def named(self, weights: Collection[str]) -> set[str] | None:
        """Those of these digests that versions of any tenant name; None: there is no version."""
        async with self._database.read() as connection:
            found = await connection.scalars(
                select(VersionRow.weights).where(VersionRow.weights.in_(weights)).distinct()
            )
            named = set(found)
            if not named and await connection.scalar(select(VersionRow.version).limit(1)) is None:
                return None
        return named

    async def page(
        self, tenant: str, network: str, *, limit: int, cursor: str | None = None
    ) -> Page[Version]:
        """The versions of a network, newest first.

        Raises:
            NotFound: there is no network of that name.
        """
        before = decode_cursor(cursor, int)
        query = versions_of(tenant, network).order_by(VersionRow.version.desc()).limit(limit + 1)
        if before is not None:
            query = query.where(VersionRow.version < before)
        async with self._database.read() as connection:
            versions = await all_versions(connection, query)
            if not versions:
                await require_network(connection, tenant, network)
            versions = await with_aliases(connection, versions)
        return cut(versions, limit, lambda version: version.version)

    async def delete(self, tenant: str, network: str, reference: int | str) -> Version:
        """Delete one version; answers with it.

        Raises:
            NotFound: there is no such version.
            Conflict: an alias points at it, a session that has not ended uses it, or it is the
                only one.
        """
        async with self._database.write() as connection:
            version = await resolve(connection, tenant, network, reference, lock=True)
            name = f"version {version.version} of network {network!r}"
            if users := await open_sessions(connection, tenant, network, version.version):
                raise in_use(name, users)
            aliases = (await with_aliases(connection, [version]))[0].aliases
            if aliases:
                raise Conflict(
                    f"{name} has the alias {', '.join(aliases)}: point it elsewhere first",
                    code="in_use",
                )
            if len(await all_versions(connection, versions_of(tenant, network).limit(2))) == 1:
                raise Conflict(f"{name} is its only one: delete the network", code="only_version")
            await connection.execute(
                delete(VersionRow).where(
                    VersionRow.tenant == tenant,
                    VersionRow.network == network,
                    VersionRow.version == version.version,
                )
            )
        return version

    async def put_alias(self, tenant: str, network: str, alias: str, version: int) -> None:
        """Point an alias at a version.

        Raises:
            NotFound: there is no such network or version.
        """
        async with self._database.write() as connection:
            await resolve(connection, tenant, network, version, lock=True)
            await put_alias(connection, tenant, network, alias, version)

    async def delete_alias(self, tenant: str, network: str, alias: str) -> None:
        """Take an alias away.

        Raises:
            NotFound: there is no such alias.
        """
        async with self._database.write() as connection:
            gone = await connection.execute(
                delete(AliasRow).where(is_alias(tenant, network, alias))
            )
        if gone.rowcount == 0:
            raise missing_version(network, alias)
