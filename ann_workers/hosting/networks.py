"""Loaded networks: fetched once, shared by their sessions, the least used ones forgotten."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from ann_workers.backends.registry import find_backend
from ann_workers.hosting.session import Lane
from foundation.settings import Settings
from registry.networks.store import NetworkStore


class Networks:
    """The network versions in this worker's memory.

    Args:
        store: manifests and weights, with their cache.
        capacity: versions kept. Sessions in use keep theirs alive beyond it.
        settings: the worker's, for backends that have settings of their own.
    """

    def __init__(
        self, store: NetworkStore, *, capacity: int, settings: Settings | None = None
    ) -> None:
        self._store = store
        self._settings = settings
        self._capacity = capacity
        self._loading: OrderedDict[str, asyncio.Task[Lane]] = OrderedDict()

    def loaded(self, key: str) -> bool:
        """True when the version `tenant.network.version` is in memory."""
        task = self._loading.get(key)
        return (
            task is not None and task.done() and not task.cancelled() and task.exception() is None
        )

    def names(self) -> list[str]:
        """The versions in memory; not those that are still being loaded, which may fail."""
        return [key for key in self._loading if self.loaded(key)]

    @property
    def full(self) -> bool:
        """True when another version would make an old one be forgotten."""
        return len(self._loading) >= self._capacity

    async def get(self, tenant: str, network: str, version: int) -> Lane:
        """The lane of a version; many askers at a time cause one load.

        Raises:
            NotFound: there is no such version.
            InvalidInput: its spec or weights are not valid.
            Unavailable: the broker's store does not answer.
        """
        key = f"{tenant}.{network}.{version}"
        task = self._loading.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = asyncio.get_running_loop().create_task(self._load(tenant, network, version))
            self._loading[key] = task
        self._loading.move_to_end(key)
        while len(self._loading) > self._capacity:
            self._loading.popitem(last=False)
        return await asyncio.shield(task)

    async def weights(self, digest: str) -> bytes:
        """A weights blob."""
        return await self._store.weights(digest)

    async def keep_weights(self, data: bytes) -> str:
        """Store a weights blob; returns its digest."""
        return await self._store.put_weights(data)

    async def _load(self, tenant: str, network: str, version: int) -> Lane:
        manifest = await self._store.manifest(tenant, network, version)
        weights = await self._store.weights(manifest.weights) if manifest.weights else b""
        backend = find_backend(manifest.backend, self._settings)
        # A thread: loading a large network takes longer than a frame may wait.
        return Lane(await asyncio.to_thread(backend.load, manifest.spec, weights))
