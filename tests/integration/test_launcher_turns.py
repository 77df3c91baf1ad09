from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from launcher.supervisor.logs import Line
from launcher.supervisor.options import Role
from launcher.supervisor.process import Launch, SupervisedProcess
from launcher.supervisor.turns import Turns
from tests.support.conditions import until


class Loading:
    """A process that is ready when `done` is set."""

    def __init__(self, name: str) -> None:
        self.done = asyncio.Event()
        self.process = SupervisedProcess(
            Role.WORKER, name, launch=self._launch, output=_ignore, changed=lambda: None
        )

    def _launch(self) -> Launch:
        command = [sys.executable, "-c", "import signal; signal.pause()"]
        return Launch(self.process.label, command, dict(os.environ), self._ready_as)

    async def _ready_as(self, _pid: int) -> str:
        return self.process.label if self.done.is_set() else ""


def _ignore(_line: Line) -> None:
    pass


@asynccontextmanager
async def starting(turns: Turns, *loading: Loading) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        for one in loading:
            tasks.create_task(turns.run(one.process))
        yield
        for one in loading:
            one.process.kill()


async def test_process_starts_when_the_one_before_is_ready() -> None:
    first, second = Loading("first"), Loading("second")
    async with starting(Turns(2), first, second):
        await until(lambda: first.process.pid is not None)
        assert second.process.pid is None
        first.done.set()
        await until(lambda: second.process.pid is not None)


async def test_processes_start_together_when_there_are_cores_for_them() -> None:
    first, second = Loading("first"), Loading("second")
    async with starting(Turns(3), first, second):
        await until(lambda: None not in (first.process.pid, second.process.pid))


async def test_process_starts_when_the_one_before_is_never_ready() -> None:
    first, second = Loading("first"), Loading("second")
    async with starting(Turns(1, longest_s=0.1), first, second):
        await until(lambda: second.process.pid is not None)


async def test_process_does_not_start_when_it_is_retired_before_its_turn() -> None:
    first, second = Loading("first"), Loading("second")
    async with starting(Turns(2), first, second):
        await until(lambda: first.process.pid is not None)
        second.process.retire()
        first.done.set()
        await second.process.drain(grace_s=5)
        assert second.process.pid is None
