"""API keys over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from registry.records.keys import new_key_text
from rest_api.access import Admin, Api
from rest_api.keys.schemas import TENANT_PATTERN, KeyIn, KeyMade, KeyOut
from rest_api.once import Answered, Creation
from rest_api.shapes import Cursor, Limit, PageOf

router = APIRouter(prefix="/v1/keys", tags=["keys"])

Tenant = Annotated[
    str | None, Query(pattern=TENANT_PATTERN, description="For admins of `default`: whose keys")
]


@router.post("", status_code=201, response_model=KeyMade)
async def create(api: Api, who: Admin, call: Creation, body: KeyIn) -> Response:
    """Make a key. Its text is in this answer only."""

    async def act() -> Answered:
        text = new_key_text()
        key = await api.key_records.create(
            text,
            tenant=who.acting_for(body.tenant),
            name=body.name,
            role=body.role,
            created_by=who.key,
        )
        return KeyMade(**KeyOut.of(key).model_dump(), key=text), f"/v1/keys/{key.id}"

    return await call.answer(act)


@router.get("")
async def page(
    api: Api, who: Admin, limit: Limit = 50, cursor: Cursor = None, tenant: Tenant = None
) -> PageOf[KeyOut]:
    """List keys by id, without their texts."""
    found = await api.key_records.page(who.acting_for(tenant), limit=limit, cursor=cursor)
    return PageOf(items=[KeyOut.of(key) for key in found.items], next_cursor=found.next_cursor)


@router.delete("/{key}", status_code=204)
async def delete(
    api: Api,
    who: Admin,
    key: Annotated[str, Path(pattern=r"^[a-z0-9]{8}$", description="The key's id")],
    tenant: Tenant = None,
) -> None:
    """Delete a key; from then on no call with it succeeds."""
    await api.key_ring.delete(who.acting_for(tenant), key)
