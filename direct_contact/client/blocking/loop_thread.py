"""An event loop in a thread, for callers that have none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from foundation.errors import Conflict

ResultT = TypeVar("ResultT")


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="direct-contact client", daemon=True
        )
        self._thread.start()

    def wait(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Run it there and wait for its result; an interrupt here cancels it there."""
        if self._loop.is_closed():
            work.close()
            raise Conflict("client: it is closed")
        if threading.current_thread() is self._thread:
            work.close()
            raise Conflict("client: a callback on the client's own thread can't wait for it")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the thread; repeating does nothing."""
        if self._loop.is_closed():
            return
        self.wait(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
