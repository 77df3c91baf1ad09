"""Waiting for the next time that something changes, any number of waiters at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Pulse:
    """A condition that is looked at again whenever it may have changed."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    def beat(self) -> None:
        """Something changed: every waiter looks again. Costs nothing when nobody waits."""
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when `condition` holds; it is looked at now and at each beat."""
        while not condition():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
