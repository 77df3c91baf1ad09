"""A dead man's switch: a worker whose event loop is blocked for good must not go on existing."""

from __future__ import annotations

import asyncio
import faulthandler
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

REARM_S: Final = 1.0


@asynccontextmanager
async def watched(timeout_s: float) -> AsyncIterator[None]:
    """End the process, with a traceback, when its event loop does not turn for `timeout_s`.

    A computation on the event loop that never ends leaves no other way. The switch is a thread in
    C: it also works where the computation keeps Python's lock. The session store then tells the
    next owners of the sessions what happened; the supervisor starts another worker.
    """

    async def rearm() -> None:
        while True:
            faulthandler.dump_traceback_later(timeout_s, exit=True)
            await asyncio.sleep(min(REARM_S, timeout_s / 4))

    rearming = asyncio.get_running_loop().create_task(rearm(), name="watch")
    try:
        yield
    finally:
        rearming.cancel()
        faulthandler.cancel_dump_traceback_later()
