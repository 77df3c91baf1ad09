"""Turns at starting: no more processes load at a time than there are cores for it.

Loading a service is computing, a third of a second of it. On few cores all at once would all be
ready late, REST, which takes longest, last of all.
"""

from __future__ import annotations

import asyncio
import contextlib

from launcher.embedded.cores import usable_cores
from launcher.supervisor.failures import StartFailed
from launcher.supervisor.process import SupervisedProcess

LONGEST_TURN_S = 2.0
"""A process that takes longer does not load, it waits for something: the next one may begin."""


class Turns:
    """Lends turns: one for each core, less the one on which REST loads without a turn."""

    def __init__(self, cores: int | None = None, *, longest_s: float = LONGEST_TURN_S) -> None:
        self._free = asyncio.Semaphore(max(1, (cores or len(usable_cores())) - 1))
        self._longest_s = longest_s

    async def run(self, process: SupervisedProcess) -> None:
        """Wait for a turn, then live the process's whole life; the turn ends when it is ready."""
        async with asyncio.TaskGroup() as life, self._free:
            life.create_task(process.run(), name=process.label)
            with contextlib.suppress(StartFailed):
                await process.wait_ready(timeout_s=self._longest_s)
