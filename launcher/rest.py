"""The few REST calls that the launcher makes, with their errors translated.

The client package has them too, but loads numpy, websockets and protobuf: 0.1 s of a start and
18 MiB for as long as the launcher runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

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

_ERRORS: Mapping[int, type[DirectContactError]] = {
    401: Unauthenticated,
    404: NotFound,
    409: Conflict,
    422: InvalidInput,
    503: Unavailable,
}


class Rest:
    """REST at `url` with the key `api_key`; use it as an async context manager.

    Every call raises the DirectContactError that the answer tells of, or Unavailable, naming the
    URL, when nobody answers.
    """

    def __init__(self, url: str, api_key: str, *, timeout_s: float = 10.0) -> None:
        import httpx  # 0.1 s: the stack's processes are started before this is needed.

        self._url = url.rstrip("/")
        self._errors = httpx.HTTPError
        self._http = httpx.AsyncClient(
            base_url=self._url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=timeout_s,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

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
        try:
            answer = await self._http.request(method, path, json=body)
        except self._errors as error:
            raise Unavailable(
                f"{self._url} does not answer ({type(error).__name__}): is the stack running?"
            ) from error
        if answer.is_success:
            found: dict[str, Any] = answer.json()
            return found
        raise _problem(answer.status_code, _fields(answer), f"{method} {self._url}{path}")


def _fields(answer: Any) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _problem(status: int, fields: Mapping[str, Any], call: str) -> DirectContactError:
    kind = _ERRORS.get(status) or (CallerError if status < 500 else InternalError)
    detail = fields.get("detail") or fields.get("title") or "no reason given"
    return kind(f"{call} answered {status}: {detail}")
