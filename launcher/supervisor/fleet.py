"""The workers of this machine's pool: as many as are wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from launcher.supervisor.process import SupervisedProcess

DRAIN_S = 30.0
"""A worker that was scaled away hands its sessions over; one that takes longer is killed."""


class Fleet:
    """Starts and drains workers until they are as many as `scale_to` was told.

    Args:
        tasks: owns the lives of the workers.
        recruit: makes the worker of a number, counted from 1, without starting it.
        live: starts a worker, and ends with its life.
    """

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        recruit: Callable[[int], SupervisedProcess],
        live: Callable[[SupervisedProcess], Coroutine[Any, Any, None]],
    ) -> None:
        self._tasks = tasks
        self._recruit = recruit
        self._live = live
        self._workers: dict[int, SupervisedProcess] = {}
        self._leaving: list[SupervisedProcess] = []

    @property
    def workers(self) -> list[SupervisedProcess]:
        """Those that are wanted, oldest number first; dead ones that come back included."""
        return [self._workers[number] for number in sorted(self._workers)]

    @property
    def leaving(self) -> list[SupervisedProcess]:
        """Those that are draining."""
        return list(self._leaving)

    def scale_to(self, replicas: int) -> None:
        """Start or drain workers, without waiting. The highest numbers leave first."""
        while len(self._workers) < replicas:
            self._start()
        while len(self._workers) > replicas:
            worker = self._workers.pop(max(self._workers))
            self._leaving.append(worker)
            self._tasks.create_task(self._let_go(worker), name=f"drain {worker.label}")

    def _start(self) -> None:
        # A number whose process still drains is not used again yet: the log stays readable.
        busy = {worker.label for worker in self._leaving}
        number = 1
        while number in self._workers or (worker := self._recruit(number)).label in busy:
            number += 1
        self._workers[number] = worker
        self._tasks.create_task(self._live(worker), name=worker.label)

    async def _let_go(self, worker: SupervisedProcess) -> None:
        try:
            await worker.drain(DRAIN_S)
        finally:
            self._leaving.remove(worker)
