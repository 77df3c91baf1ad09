"""Who calls: every path under /v1 needs an API key."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.types import ASGIApp, Receive, Scope, Send

from foundation.complaints import Complaints
from foundation.errors import DirectContactError, Forbidden, InvalidInput, Unauthenticated
from foundation.redis import translated
from registry.records import KeyRecords, Role
from registry.records.keys import MAX_TEXT, key_hash, key_id
from rest_api.edge.observation import Metrics
from rest_api.problems import problem

DEFAULT_TENANT = "default"
"""The tenant of whoever runs the installation. Its admins make keys for the others."""
CACHE_TTL_S = 300
DELETED = b"deleted"

complaints = Complaints(logging.getLogger(__name__))


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. `seal` is known only while this caller calls: it keeps answers secret at rest."""

    key: str
    tenant: str
    role: Role
    seal: bytes = field(repr=False)

    def acting_for(self, tenant: str | None) -> str:
        """The tenant whose keys the caller wants to manage; None: its own.

        Raises:
            Forbidden: it is another's, and the caller does not run the installation.
        """
        if tenant is None or tenant == self.tenant:
            return self.tenant
        if self.tenant != DEFAULT_TENANT:
            raise Forbidden(f"a key of tenant {self.tenant!r} manages keys of its own tenant only")
        return tenant


class KeyRing:
    """Verifies API keys: in the cache, else in the records.

    A deleted key leaves a mark in the cache for as long as an entry lives, so that a lookup
    that was under way when it was deleted cannot put it back.
    """

    def __init__(self, records: KeyRecords, cache: Redis, metrics: Metrics) -> None:
        self._records = records
        self._cache = cache
        self._metrics = metrics

    async def verify(self, text: str) -> Principal:
        """The principal of a key's text.

        Raises:
            Unauthenticated: there is no such key.
        """
        try:
            identity = key_id(text)
        except InvalidInput:
            raise _unknown() from None
        digest = key_hash(text)
        cached = await self._cached(digest)
        if cached == DELETED:
            raise _unknown()
        if cached is not None:
            self._metrics.key_lookups.labels("cache").inc()
            facts = json.loads(cached)
        else:
            self._metrics.key_lookups.labels("records").inc()
            key = await self._records.read(identity)
            if key is None or not hmac.compare_digest(key.sha256, digest):
                raise _unknown()
            facts = {"tenant": key.tenant, "role": key.role.value}
            await self._remember(digest, facts)
        seal = hashlib.sha256(b"direct-contact answer seal\0" + text.encode()).digest()
        return Principal(identity, facts["tenant"], Role(facts["role"]), seal)

    async def delete(self, tenant: str, identity: str) -> None:
        """Delete a key everywhere; once this returns, no call with it succeeds.

        Raises:
            NotFound: there is no such key.
            Conflict: it is the tenant's last admin key.
            Unavailable: the cache does not answer, and could bring the key back.
        """
        async with self._records.deleting(tenant, identity) as key:
            with translated("deleting an API key"):
                await self._cache.set(_entry(key.sha256), DELETED, ex=CACHE_TTL_S)

    async def _cached(self, digest: str) -> bytes | None:
        try:
            value: bytes | None = await self._cache.get(_entry(digest))  # type: ignore[assignment]  # it decodes nothing
        except (RedisError, OSError) as error:
            complaints.warning("the key cache does not answer: %s", error)
            return None
        return value

    async def _remember(self, digest: str, facts: dict[str, Any]) -> None:
        try:
            await self._cache.set(_entry(digest), json.dumps(facts), ex=CACHE_TTL_S, nx=True)
        except (RedisError, OSError) as error:
            complaints.warning("the key cache does not answer: %s", error)


class Authentication:
    """ASGI middleware: puts the principal into the request's state, or answers 401."""

    def __init__(self, app: ASGIApp, keys: KeyRing) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on once its key is verified."""
        if scope["type"] == "http" and f"{scope['path']}/".startswith("/v1/"):
            try:
                principal = await self._keys.verify(_bearer(scope))
            except DirectContactError as error:
                await problem(error)(scope, receive, send)
                return
            scope.setdefault("state", {})["principal"] = principal
        await self._app(scope, receive, send)


def _bearer(scope: Scope) -> str:
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, text = (found[0].decode("latin-1") if len(found) == 1 else "").partition(" ")
    if scheme.lower() != "bearer" or len(text) > MAX_TEXT:
        raise Unauthenticated("send an API key as Authorization: Bearer dck_…")
    return text.strip()


def _entry(digest: str) -> str:
    return f"dc:cache:key:{digest}"


def _unknown() -> Unauthenticated:
    return Unauthenticated("this API key is not known")
