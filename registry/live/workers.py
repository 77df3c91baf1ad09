"""Which workers live, by leases that they renew."""

from __future__ import annotations

from redis.asyncio import Redis

from foundation.redis import translated
from registry.live.model import WorkerInfo
from registry.live.scripting import Script

_LEASES = "dc:{workers}:leases"
_INFO = "dc:{workers}:info"


class WorkerDirectory:
    """The workers that announced themselves. Time is that of Redis, so clocks need not agree.

    Every method raises `Unavailable` when Redis does not answer.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._announce = Script("announce")
        self._workers = Script("workers")

    async def announce(self, info: WorkerInfo, ttl_ms: int) -> bool:
        """Renew the worker's lease for `ttl_ms` and replace what is told of it.

        Returns:
            False when there was no lease to renew: the worker is new, its lease ran out, or Redis
            lost its data, and with it all that this worker's sessions have there.
        """
        with translated("announcing a worker"):
            return bool(
                await self._announce.run(
                    self._redis, [_LEASES, _INFO], [info.name, info.to_json(), ttl_ms]
                )
            )

    async def withdraw(self, worker: str) -> None:
        """The worker goes away; nothing happens when it is gone."""
        with translated("withdrawing a worker"):
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.zrem(_LEASES, worker)
                pipeline.hdel(_INFO, worker)
                await pipeline.execute()

    async def list(self, pool: str | None = None) -> list[WorkerInfo]:
        """The living workers of a pool, or of all, by name."""
        with translated("listing workers"):
            texts = await self._workers.run(self._redis, [_LEASES, _INFO], [""])
        workers = [WorkerInfo.from_json(text) for text in texts]
        return [worker for worker in workers if pool is None or worker.pool == pool]

    async def find(self, worker: str) -> WorkerInfo | None:
        """What a living worker tells of itself; None: its lease does not run."""
        with translated("asking for a worker"):
            texts = await self._workers.run(self._redis, [_LEASES, _INFO], [worker])
        return WorkerInfo.from_json(texts[0]) if texts else None

    async def alive(self, worker: str) -> bool:
        """Whether the worker's lease runs."""
        with translated("asking for a worker"):
            return bool(await self._workers.run(self._redis, [_LEASES, _INFO], [worker]))
