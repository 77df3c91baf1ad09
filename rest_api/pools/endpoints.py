"""Pools over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from rest_api.access import Api, Operator, Viewer
from rest_api.pools.schemas import PoolOut, PoolPatch
from rest_api.sessions.schemas import POOL_PATTERN
from rest_api.shapes import Cursor, Limit, PageOf

router = APIRouter(prefix="/v1/pools", tags=["pools"])

PoolPath = Annotated[str, Path(pattern=POOL_PATTERN, description="The pool's name")]


@router.get("")
async def page(
    api: Api,
    who: Viewer,  # noqa: ARG001  # the role is what matters
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageOf[PoolOut]:
    """List pools by name."""
    found = await api.pools.page(limit=limit, cursor=cursor)
    return PageOf(items=found.items, next_cursor=found.next_cursor)


@router.get("/{name}")
async def read(
    api: Api,
    who: Viewer,  # noqa: ARG001  # the role is what matters
    name: PoolPath,
) -> PoolOut:
    """Read one pool."""
    return await api.pools.read(name)


@router.patch("/{name}")
async def patch(
    api: Api,
    who: Operator,  # noqa: ARG001  # the role is what matters
    name: PoolPath,
    body: PoolPatch,
) -> PoolOut:
    """Set how many workers there should be. They come and go soon after."""
    return await api.pools.scale(name, body.replicas)
