from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from foundation.errors import Unavailable
from launcher.supervisor.actuator import actuate
from launcher.supervisor.logs import Line
from tests.support.conditions import until


class Pool:
    """A pool's record, and who is told of its changes."""

    def __init__(self) -> None:
        self.replicas = 2
        self.down = False
        self.reads = 0
        self.tell: Callable[[], None] = lambda: None
        self.lines: list[Line] = []
        self.scaled: list[int] = []

    async def desired(self) -> int:
        self.reads += 1
        if self.down:
            raise Unavailable("REST does not answer")
        return self.replicas

    @contextlib.asynccontextmanager
    async def listen(self, changed: Callable[[], None]) -> AsyncIterator[None]:
        self.tell = changed
        yield

    def actuate(self) -> asyncio.Task[None]:
        return asyncio.create_task(
            actuate(
                desired=self.desired,
                scale_to=self.scaled.append,
                listen=self.listen,
                output=self.lines.append,
            )
        )


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    _done, running = await asyncio.wait({task}, timeout=5)
    for lost in running:
        lost.cancel()
    assert not running


async def test_actuator_scales_when_it_is_told_of_a_change() -> None:
    pool = Pool()
    task = pool.actuate()
    await until(lambda: pool.scaled == [2])
    pool.replicas = 4
    pool.tell()
    await until(lambda: pool.scaled == [2, 4])
    await end(task)


@pytest.mark.parametrize("turns", range(6))
async def test_actuator_ends_when_it_is_cancelled_at_the_moment_of_a_change(turns: int) -> None:
    pool = Pool()
    task = pool.actuate()
    await until(lambda: pool.scaled == [2])
    pool.tell()
    for _ in range(turns):
        await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()


async def test_actuator_leaves_the_workers_and_complains_once_when_the_record_is_unreadable() -> (
    None
):
    pool = Pool()
    pool.down = True
    task = pool.actuate()
    for reads in (1, 2, 3):
        await until(lambda reads=reads: pool.reads == reads)
        pool.tell()
    assert pool.scaled == []
    assert len(pool.lines) == 1
    pool.down = False
    pool.tell()
    await until(lambda: pool.scaled[-1:] == [2])
    await end(task)
