"""Where network versions are kept: manifests and weights in blobs, with a cache beside them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re

from redis.asyncio import Redis

from broker.port import BlobEntry, Blobs
from foundation.complaints import Complaints
from foundation.errors import DirectContactError, InvalidInput, NotFound, Unavailable
from foundation.redis import translated
from registry.networks.manifest import Manifest

logger = logging.getLogger(__name__)

BUCKET = "networks"
"""The bucket of blobs that the REST API fills and the workers read."""
WEIGHTS = "weights/"
"""What comes before the digest in a blob's name."""
CACHE_LARGEST_BYTES = 8 * 1024 * 1024
"""Larger weights would push everything else out of a small cache, and come from the blobs at the
speed of the network anyway."""
CACHE_TTL_MS = 3_600_000
THREAD_FROM_BYTES = 1024 * 1024
"""Hashing this much takes about 1 ms, as long as the event loop may be kept from frames."""

_DIGEST = re.compile("[0-9a-f]{64}")


class NetworkStore:
    """The network versions of all tenants. Safe to share among tasks.

    Weights are named by their digest, so storing the same ones twice stores them once, and what is
    read is checked. The cache may lose anything at any time: that costs speed only.

    Args:
        blobs: what lasts.
        cache: a Redis; None: no cache.
    """

    def __init__(self, blobs: Blobs, cache: Redis | None) -> None:
        self._blobs = blobs
        self._cache = cache
        self._complaints = Complaints(logger)
        self.cache_hits = 0
        self.cache_misses = 0
        self.cache_failures = 0

    async def put_weights(self, data: bytes) -> str:
        """Store weights and return their digest.

        Raises:
            Unavailable: the blobs do not answer.
        """
        digest = await _digest(data)
        await self._blobs.put(_weights_blob(digest), data)
        await self._remember(_weights_key(digest), data)
        return digest

    async def weights(self, digest: str) -> bytes:
        """The weights of a digest, checked against it.

        Raises:
            InvalidInput: it has not the form of a digest.
            NotFound: there are no such weights.
            Unavailable: the blobs do not answer, or what they have is damaged.
        """
        if not _DIGEST.fullmatch(digest):
            raise InvalidInput(f"not a SHA-256 digest: {digest!r}", field="weights")
        key = _weights_key(digest)
        cached = await self._recall(key)
        if cached is not None:
            if await _digest(cached) == digest:
                return cached
            self.cache_failures += 1
            self._complaints.warning("the cache has damaged weights under %s", key)
        try:
            data = await self._blobs.get(_weights_blob(digest))
        except NotFound as error:
            raise NotFound(f"there are no weights {digest}") from error
        if await _digest(data) != digest:
            raise Unavailable(f"the stored weights {digest} are damaged", code="weights_damaged")
        await self._remember(key, data)
        return data

    async def renew_weights(self, digest: str) -> None:
        """Keep weights as if they were put just now: a version is about to name them.

        Raises:
            NotFound: there are no such weights.
            Unavailable: the blobs do not answer.
        """
        await self._blobs.renew(_weights_blob(digest))

    async def list_weights(self, *, after: int, limit: int) -> tuple[dict[str, BlobEntry], int]:
        """Some of the weights by their digest, the longest kept first.

        Args:
            after: 0, or what the last call returned.
            limit: how many blobs to look at, manifests among them.

        Returns:
            Them, and where to go on; 0: these were the last.
        """
        entries, following = await self._blobs.entries(after=after, limit=limit)
        weights = {
            entry.name.removeprefix(WEIGHTS): entry
            for entry in entries
            if entry.name.startswith(WEIGHTS)
        }
        return weights, following

    async def delete_weights(self, digest: str, listed: BlobEntry) -> bool:
        """Forget weights that no version names; False: they were put or renewed since listed."""
        if not await self._blobs.delete_unchanged(listed):
            return False
        await self._forget(_weights_key(digest))
        return True

    async def put_manifest(self, manifest: Manifest) -> None:
        """Store a version; repeating it does nothing.

        Raises:
            Unavailable: the blobs do not answer.
        """
        data = manifest.to_json()
        await self._blobs.put(_manifest_blob(manifest.key), data)
        await self._remember(_manifest_key(manifest.key), data)

    async def manifest(self, tenant: str, network: str, version: int) -> Manifest:
        """A version.

        Raises:
            NotFound: there is no such version.
            Unavailable: the blobs do not answer.
        """
        name = f"{tenant}.{network}.{version}"
        cached = await self._recall(_manifest_key(name))
        if cached is not None:
            try:
                return Manifest.from_json(cached)
            except DirectContactError as error:
                self.cache_failures += 1
                self._complaints.warning("the cache has a damaged manifest: %s", error.message)
        try:
            data = await self._blobs.get(_manifest_blob(name))
        except NotFound as error:
            raise NotFound(f"there is no network {network} version {version}") from error
        await self._remember(_manifest_key(name), data)
        return Manifest.from_json(data)

    async def delete_version(self, tenant: str, network: str, version: int) -> None:
        """Forget a version; nothing happens when it is absent.

        Its weights stay: other versions may name the same ones, and only the records know.

        Raises:
            Unavailable: the blobs do not answer.
        """
        name = f"{tenant}.{network}.{version}"
        await self._blobs.delete(_manifest_blob(name))
        await self._forget(_manifest_key(name))

    # ------------------------------------------------------------------ the cache

    async def _recall(self, key: str) -> bytes | None:
        if self._cache is None:
            return None
        try:
            with translated("reading the cache"):
                data: bytes | None = await self._cache.get(key)  # type: ignore[assignment]
        except DirectContactError as error:
            self._failed(error)
            return None
        if data is None:
            self.cache_misses += 1
        else:
            self.cache_hits += 1
        return data

    async def _remember(self, key: str, data: bytes) -> None:
        if self._cache is None or len(data) > CACHE_LARGEST_BYTES:
            return
        try:
            with translated("filling the cache"):
                await self._cache.set(key, data, px=CACHE_TTL_MS)
        except DirectContactError as error:
            self._failed(error)

    async def _forget(self, key: str) -> None:
        if self._cache is None:
            return
        try:
            with translated("clearing the cache"):
                await self._cache.delete(key)
        except DirectContactError as error:
            self._failed(error)

    def _failed(self, error: DirectContactError) -> None:
        self.cache_failures += 1
        self._complaints.warning("going on without the cache: %s", error.message)


async def _digest(data: bytes) -> str:
    if len(data) < THREAD_FROM_BYTES:
        return hashlib.sha256(data).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()


def _weights_blob(digest: str) -> str:
    return WEIGHTS + digest


def _manifest_blob(name: str) -> str:
    return f"manifests/{name}"


def _weights_key(digest: str) -> str:
    return f"dc:cache:weights:{digest}"


def _manifest_key(name: str) -> str:
    return f"dc:cache:manifest:{name}"
