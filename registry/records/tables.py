"""The tables. Times are Unix milliseconds; names are unique within their tenant."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    String,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Row(DeclarativeBase):
    """The parent of every table; names constraints, so that migrations can change them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {int: BigInteger, str: String, dict[str, Any]: JSON, bytes: LargeBinary}  # noqa: RUF012  # SQLAlchemy's way


class NetworkRow(Row):
    """A name. Deleting keeps the row: a version number, once given, never means another network."""

    __tablename__ = "networks"
    tenant: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    newest_version: Mapped[int]
    created_ms: Mapped[int]
    created_by: Mapped[str]
    deleted_ms: Mapped[int | None]


class VersionRow(Row):
    """An immutable version of a network."""

    __tablename__ = "versions"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "network"], ["networks.tenant", "networks.name"]),
        Index("uq_versions_origin", "tenant", "network", "origin", unique=True),
    )
    tenant: Mapped[str] = mapped_column(primary_key=True)
    network: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    backend: Mapped[str]
    spec: Mapped[dict[str, Any]]
    weights: Mapped[str]
    stateful: Mapped[bool]
    trainable: Mapped[bool]
    parameters: Mapped[int]
    source: Mapped[str]
    origin: Mapped[str | None]
    parent: Mapped[int | None]
    created_ms: Mapped[int]
    created_by: Mapped[str]


class AliasRow(Row):
    """A movable name of one version."""

    __tablename__ = "aliases"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant", "network", "version"],
            ["versions.tenant", "versions.network", "versions.version"],
        ),
    )
    tenant: Mapped[str] = mapped_column(primary_key=True)
    network: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]


class SessionRow(Row):
    """A session's facts; what changes while it lives is in the session store."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_tenant_id", "tenant", "id"),
        Index(
            "ix_sessions_open",
            "tenant",
            "network",
            "version",
            sqlite_where=text("ended_ms IS NULL"),
            postgresql_where=text("ended_ms IS NULL"),
        ),
        Index("ix_sessions_ended_ms", "ended_ms"),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    network: Mapped[str]
    version: Mapped[int]
    pool: Mapped[str]
    stateful: Mapped[bool]
    config: Mapped[dict[str, Any]]
    created_ms: Mapped[int]
    created_by: Mapped[str]
    ended_ms: Mapped[int | None]
    ended_reason: Mapped[str]


class KeyRow(Row):
    """An API key. Only the hash of its text is here."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("ix_api_keys_tenant_id", "tenant", "id"),)
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    name: Mapped[str]
    role: Mapped[str]
    sha256: Mapped[str]
    created_ms: Mapped[int]
    created_by: Mapped[str]


class PoolRow(Row):
    """A pool and the number of workers it should have."""

    __tablename__ = "pools"
    name: Mapped[str] = mapped_column(primary_key=True)
    replicas: Mapped[int]
    created_ms: Mapped[int]
    updated_ms: Mapped[int]


class AnswerRow(Row):
    """What a call with an Idempotency-Key answered; no status: it is still being answered."""

    __tablename__ = "idempotency"
    scope: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    claim: Mapped[str]
    status: Mapped[int | None]
    answer: Mapped[bytes | None]
    started_ms: Mapped[int] = mapped_column(index=True)
