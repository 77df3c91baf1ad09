"""Work that outlives the call that starts it, owned until it is done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from foundation.errors import DirectContactError

logger = logging.getLogger(__name__)


class Background:
    """Tasks of one owner. A failure is logged; nobody waits for a result.

    Args:
        on_done: is called after each task.
    """

    def __init__(self, on_done: Callable[[], None] = lambda: None) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._on_done = on_done

    def __len__(self) -> int:
        """How many tasks run."""
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start `work`; the task may be cancelled by whoever asked for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, DirectContactError):
            logger.warning("%s: %s", error.code, error.message)
        elif error is not None:
            logger.error("a background task failed", exc_info=error)
        self._on_done()
