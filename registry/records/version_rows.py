"""A network version as rows: what it is, and the statements that all repositories share.

These take the connection of a transaction that a repository opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.clock import unix_ms
from foundation.errors import Conflict, NotFound
from registry.records.tables import AliasRow, NetworkRow, SessionRow, VersionRow

LATEST = "latest"
"""The alias of the newest version: computed, never stored."""
LIVE = "live"
"""The alias that a session uses when it names no version."""
NAMED_SESSIONS = 10
"""How many sessions a refusal names."""


@dataclass(frozen=True, slots=True)
class VersionDraft:
    """A version before it has a number.

    `origin` makes adding it repeatable: a second draft with the same origin is the same version.
    """

    backend: str
    spec: dict[str, Any]
    weights: str
    stateful: bool
    trainable: bool
    parameters: int
    source: str
    created_by: str
    origin: str | None = None
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """An immutable version of a network. `weights` is the sha256 of their blob."""

    tenant: str
    network: str
    version: int
    backend: str
    spec: dict[str, Any]
    weights: str
    stateful: bool
    trainable: bool
    parameters: int
    source: str
    origin: str | None
    parent: int | None
    created_ms: int
    created_by: str
    aliases: tuple[str, ...] = ()


def missing_network(network: str) -> NotFound:
    """There is no network of that name."""
    return NotFound(f"there is no network {network!r}", code="network_not_found")


def missing_version(network: str, reference: int | str) -> NotFound:
    """There is no such version, by number or alias."""
    return NotFound(
        f"network {network!r} has no version {str(reference)!r}", code="version_not_found"
    )


def in_use(what: str, sessions: Sequence[str]) -> Conflict:
    """Sessions that have not ended use it."""
    return Conflict(
        f"{what} is in use by live sessions ({', '.join(sessions)}): end them first",
        code="in_use",
    )


async def insert_version(
    connection: AsyncConnection, tenant: str, network: str, number: int, draft: VersionDraft
) -> Version:
    """Write a version's row."""
    values = {name: getattr(draft, name) for name in VersionDraft.__slots__}
    values |= {"tenant": tenant, "network": network, "version": number, "created_ms": unix_ms()}
    await connection.execute(insert(VersionRow).values(values))
    return Version(**values)


async def put_alias(
    connection: AsyncConnection, tenant: str, network: str, alias: str, version: int
) -> None:
    """Move an alias, or make it."""
    moved = await connection.execute(
        update(AliasRow).where(is_alias(tenant, network, alias)).values(version=version)
    )
    if moved.rowcount == 0:
        await connection.execute(
            insert(AliasRow).values(tenant=tenant, network=network, alias=alias, version=version)
        )


class ReferenceKind(Enum):
    """How a caller names a version."""

    NUMBER = "number"
    ALIAS = "alias"
    LATEST = "latest"
    LIVE_OR_LATEST = "live or latest"


def reference_kind(reference: int | str | None) -> ReferenceKind:
    """The kind of a number, an alias, or None: `live`, or the newest without a `live`."""
    if reference is None:
        return ReferenceKind.LIVE_OR_LATEST
    if isinstance(reference, int):
        return ReferenceKind.NUMBER
    return ReferenceKind.LATEST if reference == LATEST else ReferenceKind.ALIAS


def version_query(
    kind: ReferenceKind, tenant: Any, network: Any, reference: Any, columns: Sequence[Any]
) -> Select[Any]:
    """Select columns of the one version that a reference of that kind means.

    Tenant, network and reference are values or bound parameters.
    """
    query = (
        select(*columns)
        .where(VersionRow.tenant == tenant, VersionRow.network == network)
        .order_by(VersionRow.version.desc())
        .limit(1)
    )
    if kind is ReferenceKind.LATEST:
        return query
    if kind is ReferenceKind.NUMBER:
        return query.where(VersionRow.version == reference)
    optional = kind is ReferenceKind.LIVE_OR_LATEST
    pointed = and_(
        AliasRow.tenant == VersionRow.tenant,
        AliasRow.network == VersionRow.network,
        AliasRow.version == VersionRow.version,
        AliasRow.alias == (LIVE if optional else reference),
    )
    query = query.join_from(VersionRow, AliasRow, pointed, isouter=optional)
    if optional:
        query = query.order_by(None).order_by(AliasRow.alias.is_(None), VersionRow.version.desc())
    return query


async def resolve(
    connection: AsyncConnection,
    tenant: str,
    network: str,
    reference: int | str | None,
    *,
    lock: bool = False,
) -> Version:
    """The version that a number or an alias means. None: `live`, or the newest without a `live`.

    With `lock`, nobody else may use the version until the transaction ends.

    Raises:
        NotFound: there is no such network or version.
    """
    columns = list(VersionRow.__table__.columns)
    query = version_query(reference_kind(reference), tenant, network, reference, columns)
    if lock:
        query = query.with_for_update(of=VersionRow)
    version = await first_version(connection, query)
    if version is None:
        await require_network(connection, tenant, network)
        raise missing_version(network, reference if reference is not None else LIVE)
    return version


async def open_sessions(
    connection: AsyncConnection, tenant: str, network: str, version: int | None = None
) -> list[str]:
    """Some of the sessions that have not ended, to name them."""
    query = (
        select(SessionRow.id)
        .where(
            SessionRow.tenant == tenant,
            SessionRow.network == network,
            SessionRow.ended_ms.is_(None),
        )
        .order_by(SessionRow.id)
        .limit(NAMED_SESSIONS)
    )
    if version is not None:
        query = query.where(SessionRow.version == version)
    return list((await connection.scalars(query)).all())


def versions_of(tenant: str, network: str) -> Select[Any]:
    """Select the versions of a network."""
    return select(*VersionRow.__table__.columns).where(
        VersionRow.tenant == tenant, VersionRow.network == network
    )


def is_alias(tenant: str, network: str, alias: str) -> ColumnElement[bool]:
    """The condition that a row is this alias."""
    return and_(AliasRow.tenant == tenant, AliasRow.network == network, AliasRow.alias == alias)


async def all_versions(connection: AsyncConnection, query: Select[Any]) -> list[Version]:
    """Every version that a query selects."""
    return [Version(**row) for row in (await connection.execute(query)).mappings()]


async def first_version(connection: AsyncConnection, query: Select[Any]) -> Version | None:
    """The first version that a query selects."""
    versions = await all_versions(connection, query)
    return versions[0] if versions else None


async def with_aliases(connection: AsyncConnection, versions: Sequence[Version]) -> list[Version]:
    """The same versions, of one network, with their aliases."""
    if not versions:
        return []
    names: dict[int, list[str]] = {}
    for alias, number in await connection.execute(
        select(AliasRow.alias, AliasRow.version)
        .where(
            AliasRow.tenant == versions[0].tenant,
            AliasRow.network == versions[0].network,
            AliasRow.version.in_([version.version for version in versions]),
        )
        .order_by(AliasRow.alias)
    ):
        names.setdefault(number, []).append(alias)
    return [replace(v, aliases=tuple(names.get(v.version, ()))) for v in versions]


async def require_network(connection: AsyncConnection, tenant: str, network: str) -> None:
    """Raise NotFound when there is no network of that name."""
    found = await connection.scalar(
        select(NetworkRow.name).where(
            NetworkRow.tenant == tenant,
            NetworkRow.name == network,
            NetworkRow.deleted_ms.is_(None),
        )
    )
    if found is None:
        raise missing_network(network)
