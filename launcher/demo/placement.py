"""How many workers there are, as REST tells."""

from __future__ import annotations

import asyncio

from direct_contact.client import Client

POOL = "default"
_POLL_S = 0.05


async def scale_to(client: Client, replicas: int) -> None:
    """Set the number of workers and wait until they are that many."""
    await client.scale(POOL, replicas)
    while True:
        workers = [worker for worker in await client.workers() if worker.pool == POOL]
        if len(workers) == replicas:
            return
        await asyncio.sleep(_POLL_S)
