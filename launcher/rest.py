"""The few REST calls that the launcher makes, with their errors translated.

The client package has them too, but loads numpy, websockets, protobuf and httpx: a quarter of a
second of a start, and 30 MiB for as long as the launcher runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foundation.errors import (
    CallerError,
    Conflict,
    DirectContactError,
    InternalError,
    InvalidInput,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from launcher import http_call

_ERRORS: Mapping[int, type[DirectContactError]] = {
    401: Unauthenticated,
    404: NotFound,
    409: Conflict,
    422: InvalidInput,
    503: Unavailable,
}


class Rest:
    """REST at `url` with the key `api_key`.

    Every call raises the DirectContactError that the answer tells of, or Unavailable, naming the
    URL, when nobody answers.

    Raises:
        InvalidInput: it is not an HTTP URL.
    """

    def __init__(self, url: str, api_key: str, *, timeout_s: float = 10.0) -> None:
        self._url = url.rstrip("/")
        self._parts = http_call.parse_url(self._url)
        self._key = api_key
        self._timeout_s = timeout_s

    async def pool(self, name: str) -> dict[str, Any]:
        """One pool's record; its `replicas` is the desired number of workers."""
        return await self._call("GET", f"/v1/pools/{name}")

    async def scale(self, name: str, replicas: int) -> dict[str, Any]:
        """Record the desired number of workers of a pool."""
        return await self._call("PATCH", f"/v1/pools/{name}", {"replicas": replicas})

    async def workers(self) -> list[dict[str, Any]]:
        """The workers that are alive, of all pools."""
        return await self._all("/v1/workers")

    async def sessions(self) -> list[dict[str, Any]]:
        """The sessions, newest page first."""
        return await self._all("/v1/sessions")

    async def _all(self, path: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = await self._call("GET", path + (f"?cursor={cursor}" if cursor else ""))
            items.extend(page["items"])
            cursor = page.get("next_cursor") or ""
            if not cursor:
                return items

    async def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        answer = await http_call.call(
            self._parts, method, path, key=self._key, body=body, timeout_s=self._timeout_s
        )
        found: dict[str, Any] = answer.body if isinstance(answer.body, dict) else {}
        if 200 <= answer.status < 300:
            if not found:
                raise Unavailable(f"{self._url} answered, but not as the REST API does")
            return found
        raise _problem(answer.status, found, f"{method} {self._url}{path}")


def _problem(status: int, fields: Mapping[str, Any], call: str) -> DirectContactError:
    kind = _ERRORS.get(status) or (CallerError if status < 500 else InternalError)
    detail = fields.get("detail") or fields.get("title") or "no reason given"
    return kind(f"{call} answered {status}: {detail}")
