"""The thread that computes what would block the event loop for too long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

_Job = tuple[asyncio.AbstractEventLoop, Callable[[], None], Callable[[], None]]


class ComputeThread:
    """One thread, started when it is first needed.

    Models are used by one thread at a time, and replicas share the machine. It is a daemon, unlike
    the threads of an executor: a computation that never ends must not hold up the process's end.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: Thread | None = None

    def run(self, work: Callable[[], None], done: Callable[[], None]) -> None:
        """Call `work`, which must not raise, in the thread, then `done` on the event loop."""
        if self._thread is None:
            self._thread = Thread(target=self._serve, name="compute", daemon=True)
            self._thread.start()
        self._jobs.put((asyncio.get_running_loop(), work, done))

    def close(self) -> None:
        """End the thread after what it computes now; does not wait for it."""
        self._jobs.put(None)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            loop, work, done = job
            work()
            if loop.is_closed():
                return
            loop.call_soon_threadsafe(done)
