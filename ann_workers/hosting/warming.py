"""Loading ahead what the pool serves, so that a takeover finds it in memory."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from ann_workers.hosting.networks import Networks
from foundation.errors import DirectContactError
from registry.live import WorkerDirectory

logger = logging.getLogger(__name__)

EVERY_S: Final = 1.0


async def keep_warm(networks: Networks, directory: WorkerDirectory, *, pool: str) -> None:
    """Load the networks that other workers of the pool have, until cancelled.

    Loading an ONNX file and onnxruntime takes some hundred milliseconds, which a session whose
    worker died would wait. Only free room is used: nothing in use is forgotten for it.
    """
    failed: set[str] = set()
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            workers = await directory.list(pool)
        except DirectContactError as error:
            logger.debug("nothing is loaded ahead: %s", error.message)
            continue
        served = {key for worker in workers for key in worker.networks}
        failed &= served
        for key in sorted(served - failed - set(networks.names())):
            if networks.full:
                break
            tenant, network, version = key.split(".")
            try:
                await networks.get(tenant, network, int(version))
            except Exception as error:  # noqa: BLE001  # backends of others may raise anything
                # Whoever needs it is told; here it is not tried again and again.
                failed.add(key)
                logger.debug("%s is not loaded ahead: %s", key, error)
