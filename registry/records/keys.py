"""API keys as records, and their text: `dck_<8 characters of id>_<43 characters of secret>`."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import RowMapping, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from foundation.clock import unix_ms
from foundation.errors import Conflict, InvalidInput, NotFound
from registry.records.database import Database
from registry.records.pages import Page, cut, decode_cursor
from registry.records.tables import KeyRow

_TEXT = re.compile(r"dck_([a-z0-9]{8})_[A-Za-z0-9_-]{43}", re.ASCII)
_ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
MAX_TEXT = 56


class Role(StrEnum):
    """What a key may do; each may do what the ones before it may."""

    VIEWER = "viewer"
    USER = "user"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        """True when this role may do what `needed` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, without its secret. `sha256` is the hash of its text, in hex."""

    id: str
    tenant: str
    name: str
    role: Role
    sha256: str
    created_ms: int
    created_by: str


def new_key_text() -> str:
    """The text of a new key: 256 random bits."""
    identity = "".join(secrets.choice(_ID_ALPHABET) for _ in range(8))
    return f"dck_{identity}_{secrets.token_urlsafe(32)}"


def key_id(text: str) -> str:
    """The id in a key's text.

    Raises:
        InvalidInput: it is not the text of a key.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise InvalidInput("an API key is dck_, 8 characters, _ and 43 characters", code="bad_key")
    return match.group(1)


def key_hash(text: str) -> str:
    """What is stored of a key: a fast hash, since its text is random and long."""
    return hashlib.sha256(text.encode()).hexdigest()


class KeyRecords:
    """API keys. Another tenant's are NotFound."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, text: str, *, tenant: str, name: str, role: Role, created_by: str
    ) -> ApiKey:
        """Store the hash of a key's text.

        Raises:
            InvalidInput: it is not the text of a key.
            Conflict: a key of that id exists.
        """
        key = ApiKey(key_id(text), tenant, name, role, key_hash(text), unix_ms(), created_by)
        values = {name: getattr(key, name) for name in ApiKey.__slots__}
        try:
            async with self._database.write() as connection:
                await connection.execute(insert(KeyRow), values | {"role": role.value})
        except IntegrityError as error:
            raise Conflict(f"a key {key.id} exists already", code="key_exists") from error
        return key

    async def read(self, identity: str) -> ApiKey | None:
        """The key of an id, of any tenant; None: there is none."""
        query = select(*KeyRow.__table__.columns).where(KeyRow.id == identity)
        async with self._database.statement() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return _key(row) if row else None

    async def page(self, tenant: str, *, limit: int, cursor: str | None = None) -> Page[ApiKey]:
        """Keys by id."""
        after = decode_cursor(cursor, str) or ""
        query = (
            select(*KeyRow.__table__.columns)
            .where(KeyRow.tenant == tenant, KeyRow.id > after)
            .order_by(KeyRow.id)
            .limit(limit + 1)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        keys = [_key(row) for row in rows]
        return cut(keys, limit, lambda key: key.id)

    @asynccontextmanager
    async def deleting(self, tenant: str, identity: str) -> AsyncIterator[ApiKey]:
        """Delete a key; it is gone once the block, which clears caches, has ended.

        Raises:
            NotFound: there is no such key.
            Conflict: it is the tenant's last admin key.
        """
        async with self._database.write() as connection:
            # All of the tenant's admins are locked: two of them cannot delete each other.
            admins = (
                await connection.scalars(
                    select(KeyRow.id)
                    .where(KeyRow.tenant == tenant, KeyRow.role == Role.ADMIN.value)
                    .with_for_update()
                )
            ).all()
            if list(admins) == [identity]:
                raise Conflict(
                    f"key {identity} is the last admin key: make another first", code="last_admin"
                )
            row = (
                (
                    await connection.execute(
                        delete(KeyRow)
                        .where(KeyRow.tenant == tenant, KeyRow.id == identity)
                        .returning(*KeyRow.__table__.columns)
                    )
                )
                .mappings()
                .one_or_none()
            )
            if row is None:
                raise NotFound(f"there is no key {identity!r}", code="key_not_found")
            yield _key(row)

    async def count_admins(self, tenant: str) -> int:
        """How many admin keys the tenant has."""
        query = select(func.count()).where(KeyRow.tenant == tenant, KeyRow.role == Role.ADMIN.value)
        async with self._database.read() as connection:
            return int(await connection.scalar(query) or 0)


def _key(row: RowMapping) -> ApiKey:
    return ApiKey(**{**row, "role": Role(row["role"])})
