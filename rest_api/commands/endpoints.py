"""Commands over HTTP."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from rest_api.access import Api, User
from rest_api.commands.schemas import CommandIn, CommandOut
from rest_api.once import Answered, Creation
from rest_api.sessions.endpoints import SessionId

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])


@router.post("/{session}/commands", response_model=CommandOut)
async def create(
    api: Api, who: User, call: Creation, session: SessionId, body: CommandIn
) -> Response:
    """Have the worker that holds the session carry out a command, and wait for its answer."""

    async def act() -> Answered:
        return await api.commands.command(who, session, body), ""

    return await call.answer(act, status=200)
