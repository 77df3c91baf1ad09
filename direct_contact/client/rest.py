"""Calls of the REST API: JSON in and out, problems to errors, patience with a busy server."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx

from direct_contact.client.reconnecting import Backoff
from foundation import errors

Json = dict[str, Any]

ERRORS: Final[Mapping[int, type[errors.DirectContactError]]] = {
    400: errors.CallerError,
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.CallerError,
    409: errors.Conflict,
    413: errors.LimitExceeded,
    415: errors.InvalidInput,
    422: errors.InvalidInput,
    429: errors.LimitExceeded,
    500: errors.InternalError,
    502: errors.Unavailable,
    503: errors.Unavailable,
    504: errors.Unavailable,
}


class RestConnection:
    """One API, one key, one pool of connections.

    Args:
        rest_url: such as ``https://example.org``, without ``/v1``.
        api_key: sent as ``Authorization: Bearer``.
        patience_s: how long calls are repeated while the API answers 503.
        timeout_s: of one call.
        tls: for ``https``; None: the system's certificates.
        transport: httpx's, for tests.
    """

    def __init__(
        self,
        rest_url: str,
        api_key: str,
        *,
        patience_s: float = 10.0,
        timeout_s: float = 60.0,
        tls: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.tls = tls
        self._patience_s = patience_s
        self._http = httpx.AsyncClient(
            base_url=rest_url.rstrip("/") + "/v1/",
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=httpx.Timeout(timeout_s, connect=10.0),
            verify=tls if tls is not None else True,
            transport=transport,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: object | None = None,
        content: bytes | None = None,
        form: Mapping[str, str] | None = None,
        file: bytes | None = None,
        query: Mapping[str, str | int] | None = None,
        idempotent: bool = True,
    ) -> httpx.Response:
        """One call below ``/v1/``; repeated while the API answers 503 and `patience_s` allows.

        Args:
            method: of HTTP.
            path: without the leading slash.
            body: sent as JSON.
            content: sent as it is.
            form: sent as a form, with `file` as its field of that name.
            file: see `form`.
            query: parameters.
            idempotent: False: a creating call; it carries a fresh Idempotency-Key, so that a
                repetition creates nothing twice.

        Raises:
            Unavailable: the API cannot be reached, or still answers 503.
            DirectContactError: the class that fits the status, with the problem's code and field.
        """
        headers = {} if idempotent else {"Idempotency-Key": str(uuid.uuid4())}
        if content is not None:
            headers["Content-Type"] = "application/octet-stream"
        files = {"file": ("file", file, "application/octet-stream")} if file is not None else None
        request = self._http.build_request(
            method,
            path,
            json=body,
            content=content,
            data=form,
            files=files,
            params=query,
            headers=headers,
        )
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_s
        backoff = Backoff()
        while True:
            try:
                response = await self._http.send(request)
            except httpx.TimeoutException as error:
                raise errors.Unavailable(
                    f"{method} {request.url}: no answer in time", code="rest_timeout"
                ) from error
            except httpx.TransportError as error:
                raise errors.Unavailable(
                    f"{method} {request.url}: {str(error) or type(error).__name__}",
                    code="rest_unreachable",
                ) from error
            if response.is_success:
                return response
            problem = to_error(response)
            delay_s = backoff.next_delay_s(at_least_s=problem.retry_after_s or 0.0)
            if response.status_code != 503 or loop.time() + delay_s > deadline:
                raise problem
            await asyncio.sleep(delay_s)

    async def json(
        self,
        method: str,
        path: str,
        *,
        body: object | None = None,
        query: Mapping[str, str | int] | None = None,
        idempotent: bool = True,
    ) -> Json:
        """The same, for calls that answer with a JSON object."""
        response = await self.call(method, path, body=body, query=query, idempotent=idempotent)
        answer: object = response.json() if response.content else {}
        if not isinstance(answer, dict):
            raise errors.InternalError(f"{method} {path}: a JSON object was expected")
        return answer

    async def pages(self, path: str, query: Mapping[str, str] | None = None) -> AsyncIterator[Json]:
        """Every item of a list, page after page."""
        asked: dict[str, str | int] = {"limit": 200, **(query or {})}
        while True:
            page = await self.json("GET", path, query=asked)
            for item in page["items"]:
                yield item
            cursor = page.get("next_cursor")
            if not cursor:
                return
            asked["cursor"] = cursor


def to_error(response: httpx.Response) -> errors.DirectContactError:
    """The error that a problem (RFC 9457) stands for; other bodies give the status alone."""
    status = response.status_code
    kind = ERRORS.get(status)
    if kind is None:
        kind = errors.InternalError if status >= 500 else errors.CallerError
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    fields = problem.get("errors") or [{}]
    detail = problem.get("detail") or problem.get("title") or response.reason_phrase
    return kind(
        str(detail) or f"HTTP status {status}",
        code=problem.get("code"),
        field=fields[0].get("field") if isinstance(fields[0], dict) else None,
        retry_after_s=retry_after_s(response.headers.get("Retry-After")),
    )


def retry_after_s(header: str | None) -> float | None:
    """Seconds of a Retry-After header; None: there is none, or it names a date."""
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None
