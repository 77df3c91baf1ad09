"""Servers that run already, by URL: wait for them with a message, then fail with one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from foundation.errors import InvalidInput, Unavailable
from foundation.urls import without_credentials
from launcher.embedded.nats import nats_answers
from launcher.embedded.redis import redis_answers
from launcher.supervisor.logs import Output, note

WAIT_S = 20.0
_MESSAGE_EVERY_S = 2.0
_POLL_S = 0.1


async def await_nats(urls: str, output: Output) -> None:
    """Wait until one of the comma-separated NATS servers greets.

    Raises:
        Unavailable: none does within `WAIT_S`; names the URL.
        InvalidInput: a URL has no host.
    """
    servers = [_address(url.strip(), "DC_NATS_URL", 4222) for url in urls.split(",")]

    async def any_answers() -> bool:
        for host, port in servers:
            if await nats_answers(host, port):
                return True
        return False

    await _await("NATS", "DC_NATS_URL", without_credentials(urls), any_answers, output)


async def await_redis(url: str, output: Output) -> None:
    """Wait until the Redis server answers; with TLS, until it accepts connections.

    Raises:
        Unavailable: it does not within `WAIT_S`; names the URL.
        InvalidInput: the URL has no host.
    """
    host, port = _address(url, "DC_REDIS_URL", 6379)
    tls = url.startswith("rediss:")

    async def answers() -> bool:
        return await (_accepts(host, port) if tls else redis_answers(host, port))

    await _await("Redis", "DC_REDIS_URL", without_credentials(url), answers, output)


async def _await(
    what: str,
    variable: str,
    url: str,
    answers: Callable[[], Awaitable[bool]],
    output: Output,
) -> None:
    started_at = told_at = time.monotonic()
    while not await answers():
        now = time.monotonic()
        if now - started_at >= WAIT_S:
            raise Unavailable(
                f"{what} at {url} does not answer after {WAIT_S:.0f} s: start it, correct "
                f"{variable}, or unset {variable} to use the embedded one"
            )
        if now - told_at >= _MESSAGE_EVERY_S or told_at == started_at:
            told_at = now
            output(note(f"waiting for {what} at {url}", level="W"))
        await asyncio.sleep(_POLL_S)


async def _accepts(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


def _address(url: str, variable: str, default_port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or default_port
    except ValueError:
        host, port = None, default_port
    if host is None:
        raise InvalidInput(f"{variable} has no host: {without_credentials(url)!r}", field=variable)
    return host, port
