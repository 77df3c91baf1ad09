"""Waiting for what will become true, instead of sleeping."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable


async def until(
    condition: Callable[[], object | Awaitable[object]], *, timeout_s: float = 15.0
) -> None:
    """Return when `condition`, which may be asynchronous, is true.

    Raises:
        AssertionError: it still is not after `timeout_s`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return
        if loop.time() >= deadline:
            raise AssertionError(f"still false after {timeout_s:g} s")
        await asyncio.sleep(0.005)
