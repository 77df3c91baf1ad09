"""What the reference servers share: an event loop, a port, an end."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

MAX_MESSAGE_BYTES = 4 << 20


def serve(start: Callable[[], Awaitable[int]]) -> None:
    """Run a server on uvloop: `start` listens and returns the port (0: it has none)."""
    import uvloop

    async def life() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        port = await start()
        # As our own services do when they are up.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        sys.stdout.write(json.dumps({"port": port}) + "\n")
        sys.stdout.flush()
        await stop.wait()

    uvloop.run(life())


def port_of(server: Any) -> int:
    """The port that an asyncio server listens on."""
    return int(next(iter(server.sockets)).getsockname()[1])
