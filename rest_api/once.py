"""Idempotency-Key: repeating a creating call repeats its answer, not its effect."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Header
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from foundation.clock import monotonic
from foundation.errors import Conflict, Unavailable
from registry.records import IdempotencyRecords
from registry.records.idempotency import Claim, StoredAnswer
from rest_api.access import Api
from rest_api.edge.authentication import Principal

log = logging.getLogger(__name__)

WAIT_S = 10.0
POLL_S = 0.02
KEEP_MS = 24 * 3600 * 1000
SALT_BYTES = 16

Answered = tuple[BaseModel, str]
"""What a call answers, and the location of what it made; "": nothing was made."""


class Once:
    """One creating call. Without an Idempotency-Key it just happens."""

    def __init__(
        self, answers: IdempotencyRecords, request: Request, key: str | None, body: bytes
    ) -> None:
        self._answers = answers
        self._principal: Principal = request.state.principal
        self._key = key
        call = f"{request.method} {request.url.path}?{request.url.query}\0".encode()
        self._fingerprint = hashlib.sha256(call + body).hexdigest() if key is not None else ""

    async def answer(
        self, act: Callable[[], Awaitable[Answered]], *, status: int = 201
    ) -> Response:
        """Answer with what `act` makes, or with what an earlier call with this key answered.

        Only success is stored: a call that failed may be repeated with the same key.

        Raises:
            Conflict: the key was used for another request, or its first call is still under way.
        """
        if self._key is None:
            return _json(*await act(), status)
        begun = await self._begin(self._key)
        if isinstance(begun, StoredAnswer):
            return self._replayed(begun)
        try:
            model, location = await act()
        except Exception:
            await self._answers.abandon(begun)
            raise
        response = _json(model, location, status)
        text = json.dumps({"location": location, "body": bytes(response.body).decode()})
        try:
            await self._answers.finish(begun, response.status_code, self._sealed(text.encode()))
        except Unavailable:
            # It is made; the caller should learn that rather than repeat it.
            log.warning("the answer of an Idempotency-Key could not be stored")
        return response

    async def _begin(self, key: str) -> Claim | StoredAnswer:
        deadline = monotonic() + WAIT_S
        while True:
            begun = await self._answers.begin(self._principal.key, key, self._fingerprint)
            if isinstance(begun, Claim):
                return begun
            if begun.fingerprint != self._fingerprint:
                raise Conflict(
                    "this Idempotency-Key was used for another request",
                    code="idempotency_key_reused",
                    field="Idempotency-Key",
                )
            if begun.status is not None:
                return begun
            if monotonic() >= deadline:
                raise Conflict(
                    "the first call with this Idempotency-Key is still under way",
                    code="idempotency_in_progress",
                    retry_after_s=1,
                )
            await asyncio.sleep(POLL_S)

    def _replayed(self, stored: StoredAnswer) -> Response:
        kept = json.loads(self._opened(stored.answer))
        headers = _headers(kept["location"]) | {"Idempotent-Replayed": "true"}
        return Response(kept["body"], stored.status or 200, headers, media_type="application/json")

    def _sealed(self, answer: bytes) -> bytes:
        """The answer, readable only with the caller's key: it may hold a secret of its own."""
        salt = secrets.token_bytes(SALT_BYTES)
        return salt + self._masked(answer, salt)

    def _opened(self, sealed: bytes) -> bytes:
        return self._masked(sealed[SALT_BYTES:], sealed[:SALT_BYTES])

    def _masked(self, data: bytes, salt: bytes) -> bytes:
        # A keystream used once: the salt is random, the seal is known to the caller's key only.
        stream = hashlib.shake_256(self._principal.seal + salt).digest(len(data))
        return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(
            len(data), "big"
        )


async def once(
    request: Request,
    services: Api,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=128,
            pattern=r"^[\x21-\x7e]+$",
            description="Repeating a call with the same key and body repeats its answer (24 h)",
        ),
    ] = None,
) -> Once:
    """The dependency of every creating endpoint."""
    body = await request.body() if idempotency_key is not None else b""
    return Once(services.answers, request, idempotency_key, body)


Creation = Annotated[Once, Depends(once)]


def _json(model: BaseModel, location: str, status: int) -> Response:
    return Response(
        model.model_dump_json(), status, _headers(location), media_type="application/json"
    )


def _headers(location: str) -> dict[str, str]:
    return {"Location": location} if location else {}
