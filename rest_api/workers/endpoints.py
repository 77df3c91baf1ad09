"""Workers over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from registry.records.pages import cut, decode_cursor
from rest_api.access import Api, Viewer
from rest_api.sessions.schemas import POOL_PATTERN
from rest_api.shapes import Cursor, Limit, PageOf
from rest_api.workers.schemas import WorkerOut

router = APIRouter(prefix="/v1/workers", tags=["workers"])


@router.get("")
async def page(
    api: Api,
    who: Viewer,  # noqa: ARG001  # the role is what matters
    limit: Limit = 50,
    cursor: Cursor = None,
    pool: Annotated[str | None, Query(pattern=POOL_PATTERN)] = None,
) -> PageOf[WorkerOut]:
    """List the living workers by name."""
    after = decode_cursor(cursor, str) or ""
    alive = sorted(await api.workers.list(pool), key=lambda worker: worker.name)
    rest = [worker for worker in alive if worker.name > after]
    found = cut(rest[: limit + 1], limit, lambda worker: worker.name)
    return PageOf(
        items=[WorkerOut.of(worker) for worker in found.items], next_cursor=found.next_cursor
    )
