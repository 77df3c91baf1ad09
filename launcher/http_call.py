"""One HTTP request and its answer, for the launcher's few calls.

httpx would load its command line, rich and anyio with it: 0.15 s of every start.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from foundation.errors import InvalidInput, Unavailable


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, and the body as JSON; None: it was not JSON."""

    status: int
    body: Any


def parse_url(url: str) -> SplitResult:
    """The parts of an HTTP URL.

    Raises:
        InvalidInput: it is not one.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InvalidInput(f"--rest-url {url!r} is not an HTTP URL", field="rest_url")
    return parts


async def call(
    url: SplitResult, method: str, path: str, *, key: str, body: object, timeout_s: float
) -> Answer:
    """Send one request on a connection of its own; `body` None: without one.

    Raises:
        Unavailable: nobody answers in time, or what answers does not speak HTTP.
    """
    try:
        async with asyncio.timeout(timeout_s):
            raw = await _exchange(url, _request(url, method, path, key, body))
        head, _, content = raw.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
    except (OSError, TimeoutError, ValueError, IndexError) as error:
        raise Unavailable(
            f"{url.geturl()} does not answer ({type(error).__name__}): is the stack running?"
        ) from error
    try:
        return Answer(status, json.loads(content))
    except ValueError:
        return Answer(status, None)


def _request(url: SplitResult, method: str, path: str, key: str, body: object) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    # 1.0: the answer comes in one piece and ends with the connection.
    lines = [
        f"{method} {url.path.rstrip('/')}{path} HTTP/1.0",
        f"Host: {url.netloc.rpartition('@')[2]}",
        f"Authorization: Bearer {key}",
        "Accept: application/json",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    ]
    if any(not line.isascii() or not line.isprintable() for line in lines):
        raise InvalidInput("the API key or the URL holds what no header may", field="api_key")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


async def _exchange(url: SplitResult, request: bytes) -> bytes:
    tls = ssl.create_default_context() if url.scheme == "https" else None
    port = url.port or (443 if tls else 80)
    reader, writer = await asyncio.open_connection(url.hostname, port, ssl=tls)
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.close()
