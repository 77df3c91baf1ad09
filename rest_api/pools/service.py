"""What can be done with pools."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

from broker.port import Broker
from broker.subjects import POOLS_CHANGED
from foundation.errors import NotFound, Unavailable
from registry.live import WorkerDirectory, WorkerInfo
from registry.records import Page, PoolRecords
from registry.records.pools import Pool
from rest_api.pools.schemas import PoolOut
from rest_api.shapes import timestamp

log = logging.getLogger(__name__)


class PoolService:
    """Pools: the desired number of workers, and who is there."""

    def __init__(self, records: PoolRecords, workers: WorkerDirectory, broker: Broker) -> None:
        self._records = records
        self._workers = workers
        self._broker = broker

    async def page(self, *, limit: int, cursor: str | None) -> Page[PoolOut]:
        """Pools by name."""
        found = await self._records.page(limit=limit, cursor=cursor)
        workers = await self._workers.list(None)
        return found.map(lambda pool: _shown(pool, workers))

    async def read(self, name: str) -> PoolOut:
        """One pool.

        Raises:
            NotFound: there is none of that name.
        """
        pool = await self._records.read(name)
        if pool is None:
            raise _missing(name)
        return _shown(pool, await self._workers.list(name))

    async def scale(self, name: str, replicas: int) -> PoolOut:
        """Set the desired number of workers, and tell whoever starts them.

        A pool without a record gets one when workers of it are there.

        Raises:
            NotFound: there is none of that name.
        """
        workers = await self._workers.list(name)
        pool = await self._records.scale(name, replicas)
        if pool is None:
            if not workers:
                raise _missing(name)
            await self._records.ensure(name, replicas)
            pool = await self._records.scale(name, replicas) or Pool(name, replicas, 0, 0)
        try:
            message = json.dumps({"pool": name, "replicas": replicas}).encode()
            await self._broker.publish(POOLS_CHANGED, message)
        except Unavailable as error:
            # The record stands; an actuator that missed the message reads it.
            log.warning("nobody was told of %s's %d replicas: %s", name, replicas, error.message)
        return _shown(pool, workers)


def _shown(pool: Pool, workers: Sequence[WorkerInfo]) -> PoolOut:
    its = [worker for worker in workers if worker.pool == pool.name]
    ready = [worker for worker in its if worker.state == "ready"]
    return PoolOut(
        name=pool.name,
        replicas=pool.replicas,
        ready=len(ready),
        draining=len(its) - len(ready),
        sessions=sum(worker.sessions for worker in its),
        capacity=sum(worker.capacity for worker in ready),
        updated_at=timestamp(pool.updated_ms),
    )


def _missing(name: str) -> NotFound:
    return NotFound(f"there is no pool {name!r}", code="pool_not_found")
