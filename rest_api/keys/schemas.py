"""API keys as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from registry.records.keys import ApiKey, Role
from rest_api.shapes import Body, timestamp

TENANT_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"


class KeyIn(Body):
    """A key to make. Only admins of the tenant `default` may name another tenant."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    role: Role
    tenant: Annotated[str | None, Field(pattern=TENANT_PATTERN)] = None


class KeyOut(BaseModel):
    """A key, without its text."""

    id: str
    name: str
    role: Role
    tenant: str
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, key: ApiKey) -> KeyOut:
        """A record as JSON."""
        return cls(
            id=key.id,
            name=key.name,
            role=key.role,
            tenant=key.tenant,
            created_at=timestamp(key.created_ms),
            created_by=key.created_by,
        )


class KeyMade(KeyOut):
    """A new key with its text, which is never shown again."""

    key: str
