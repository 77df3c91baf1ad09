"""A limit on the size of request bodies."""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rest_api.problems import TooLarge, problem


class BodyLimit:
    """ASGI middleware: refuses bodies above `max_bytes`, announced or not, without keeping them."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting its body as it is read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = _content_length(scope)
        if announced is not None and announced > self._max_bytes:
            await self._refusal(announced)(scope, receive, send)
            return
        read = 0
        refused = started = False

        async def counted() -> Message:
            nonlocal read, refused
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._max_bytes:
                refused = True
                # Of this class, since the framework would take any other for a broken body.
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return message

        async def replaced(message: Message) -> None:
            nonlocal started
            if not refused or started:
                started = True
                await send(message)

        await self._app(scope, counted, replaced)
        if refused and not started:
            await self._refusal(read)(scope, receive, send)

    def _refusal(self, size: int) -> ASGIApp:
        return problem(
            TooLarge(f"the body has at least {size} bytes, the limit is {self._max_bytes}")
        )


def _content_length(scope: Scope) -> int | None:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return None
