"""Sessions over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from registry.networks.spec import NAME_PATTERN
from rest_api.access import Api, User, Viewer
from rest_api.once import Answered, Creation
from rest_api.sessions.schemas import (
    ConfigPatch,
    SessionIn,
    SessionOpened,
    SessionOut,
    TicketIssued,
)
from rest_api.shapes import Cursor, Limit, PageOf

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])

SessionId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The session's id")]


@router.post("", status_code=201, response_model=SessionOpened)
async def create(api: Api, who: User, call: Creation, body: SessionIn) -> Response:
    """Open a session. The answer holds the ticket with which to open its stream."""

    async def act() -> Answered:
        opened = await api.sessions.open(who, body)
        return opened, f"/v1/sessions/{opened.session.id}"

    return await call.answer(act)


@router.get("")
async def page(
    api: Api,
    who: Viewer,
    limit: Limit = 50,
    cursor: Cursor = None,
    network: Annotated[str | None, Query(pattern=NAME_PATTERN)] = None,
    ended: Annotated[bool | None, Query(description="Only those whose end is (not) known")] = None,
) -> PageOf[SessionOut]:
    """List sessions, newest first."""
    found = await api.session_records.page(
        who.tenant, limit=limit, cursor=cursor, network=network, ended=ended
    )
    return PageOf(items=await api.sessions.shown(found.items), next_cursor=found.next_cursor)


@router.get("/{session}")
async def read(api: Api, who: Viewer, session: SessionId) -> SessionOut:
    """Read one session, ended or not."""
    return await api.sessions.read(who, session)


@router.patch("/{session}")
async def patch(api: Api, who: User, session: SessionId, body: ConfigPatch) -> SessionOut:
    """Change the configuration of a session.

    `mode` may change at any time: a running session learns it as a command. The rest may change
    only before the first attach.
    """
    return await api.commands.configure(who, session, body.config.model_dump(exclude_none=True))


@router.delete("/{session}", status_code=204)
async def delete(api: Api, who: User, session: SessionId) -> None:
    """End a session. Ending it again does nothing."""
    await api.commands.end(who, session)


@router.post("/{session}/tickets", status_code=201, response_model=TicketIssued)
async def create_ticket(api: Api, who: User, call: Creation, session: SessionId) -> Response:
    """Mint another ticket for the stream; it is good for one attach, for a short time."""

    async def act() -> Answered:
        issued = TicketIssued(stream=await api.sessions.ticket(who, session))
        return issued, ""

    return await call.answer(act)
