"""A limit on the size of request bodies."""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rest_api.problems import TooLarge, problem

FORM_OVERHEAD_BYTES = 1 << 20
"""What a form may have beside its file."""


class BodyLimit:
    """ASGI middleware: refuses bodies above a limit, announced or not, without keeping them.

    Args:
        app: what comes next.
        max_bytes: the limit.
        max_form_bytes: that of forms, which bring files, where it is higher; None: the same.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_form_bytes: int | None = None) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_form_bytes = max(max_bytes, max_form_bytes or 0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting its body as it is read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._max_form_bytes if _is_form(scope) else self._max_bytes
        announced = _content_length(scope)
        if announced is not None and announced > most:
            await _refusal(announced, most)(scope, receive, send)
            return
        read = 0
        refused = started = False

        async def counted() -> Message:
            nonlocal read, refused
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
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
            await _refusal(read, most)(scope, receive, send)


def _refusal(size: int, most: int) -> ASGIApp:
    return problem(TooLarge(f"the body has at least {size} bytes, the limit is {most}"))


def _is_form(scope: Scope) -> bool:
    return any(
        name == b"content-type" and value.lower().startswith(b"multipart/form-data")
        for name, value in scope["headers"]
    )


def _content_length(scope: Scope) -> int | None:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return None
