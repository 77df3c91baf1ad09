"""The Redis connection: waits for the server, reconnects, and stays whole under cancellation."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import FullJitterBackoff

from foundation.complaints import Complaints
from foundation.errors import InternalError, InvalidInput, Unavailable
from foundation.urls import without_credentials

logger = logging.getLogger(__name__)

CONNECTIONS = 32
"""Sockets per process; a command waits for a free one. A worker's checkpoints use one at a time."""
ANSWER_TIMEOUT_S = 5.0
RETRIES = 20
"""With the waits below, about 1.7 s: a restart of Redis (0.2 s with its data) is a pause."""
RETRY_FIRST_S = 0.01
RETRY_LONGEST_S = 0.2
WAITING_MESSAGE_S = 2.0

_PASSING = re.compile(
    r"\b(OOM|MISCONF|READONLY|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|BUSY)\b|'maxmemory'"
)


async def connect(url: str, *, timeout_s: float, variable: str = "DC_REDIS_URL") -> Redis:
    """Return a client whose server has answered, waiting for that up to `timeout_s`.

    A command that finds its connection broken is sent again, so scripts must bear repetition. One
    that gets no answer within `ANSWER_TIMEOUT_S` is not. Close it with `aclose`.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        timeout_s: how long to wait.
        variable: what sets the URL, for the messages.

    Raises:
        InvalidInput: it is not a Redis URL.
        Unavailable: no answer in time; names the URL and the last reason.
    """
    address = without_credentials(url)
    try:
        # RESP2: with RESP3 every new connection would ask for maintenance notifications, which
        # only one vendor's servers know.
        pool = _Pool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=ANSWER_TIMEOUT_S,
            protocol=2,
            socket_timeout=ANSWER_TIMEOUT_S,
            socket_connect_timeout=ANSWER_TIMEOUT_S,
            retry=Retry(
                FullJitterBackoff(cap=RETRY_LONGEST_S, base=RETRY_FIRST_S),
                RETRIES,
                # Not the time-outs: a frozen server would hold the caller twenty times as long.
                supported_errors=(exceptions.ConnectionError,),
            ),
        )
        client: Redis = Redis.from_pool(pool)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{variable} {address} is not a Redis URL: {error}") from error
    waiting = Complaints(logger, every_s=WAITING_MESSAGE_S)
    reason: Exception | None = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    await client.ping()
                except (exceptions.RedisError, OSError) as error:
                    reason = error
                    waiting.warning("waiting for Redis at %s: %s", address, error)
                    await asyncio.sleep(RETRY_FIRST_S)
                else:
                    return client
    except TimeoutError as error:
        await client.aclose()
        raise Unavailable(
            f"Redis at {address} ({variable}) did not answer within {timeout_s:g} s: "
            f"{reason or 'no connection'}",
            code="redis_unreachable",
        ) from error
    except BaseException:
        await client.aclose()
        raise


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn redis-py's exceptions inside into ours, and bring back a cancellation that it lost.

    redis-py sends under `asyncio.wait_for`, which until Python 3.12 drops a cancellation that comes
    as the sending is done: the caller would go on, and whoever cancelled it wait for ever.

    Args:
        doing: what fails, for the message, such as ``attaching the session``.

    Raises:
        Unavailable: Redis does not answer, or cannot serve now.
        InternalError: Redis refuses what we sent.
    """
    task = asyncio.current_task()
    cancellations = task.cancelling() if task is not None else 0
    try:
        yield
        if task is not None and task.cancelling() > cancellations:
            raise asyncio.CancelledError
    except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
        raise Unavailable(
            f"Redis does not answer for {doing}: {error}", code="redis_unavailable"
        ) from error
    except exceptions.ResponseError as error:
        # LOADING is a ConnectionError already; these are states that pass as well. A script wraps
        # the text of the error that stopped it.
        passing = (exceptions.OutOfMemoryError, exceptions.ReadOnlyError)
        if isinstance(error, passing) or _PASSING.search(str(error)):
            raise Unavailable(
                f"Redis cannot serve {doing}: {error}", code="redis_unavailable"
            ) from error
        raise InternalError(f"Redis refuses {doing}: {error}") from error
    except exceptions.RedisError as error:
        raise InternalError(f"Redis fails at {doing}: {error}") from error


class _Pool(BlockingConnectionPool):
    """A pool whose connections come back even when their user is cancelled at that very moment.

    redis-py drops a connection whose command was cancelled and makes a new one, which is right; but
    a cancellation that arrives while a connection is given back would lose its place in the pool.
    """

    async def release(self, connection: AbstractConnection) -> None:
        giving: asyncio.Task[Any] = asyncio.ensure_future(super().release(connection))
        await asyncio.shield(giving)
