"""Blobs in a JetStream object store, in its own format: the `nats` CLI reads them too."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats import errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js import errors as js_errors
from nats.js.api import ObjectInfo, ObjectMeta, ObjectMetaOptions
from nats.js.object_store import ObjectStore

from broker.nats.blob_catalogue import BlobCatalogue
from broker.port import BlobEntry
from foundation.errors import InvalidInput, NotFound, Unavailable

logger = logging.getLogger(__name__)

CHUNK_BYTES = 256 * 1024
"""Each chunk is a round trip. Larger ones gain little (100 MB: 0.5 s) and delay frames behind them
on the same connection."""
ANSWER_TIMEOUT_S = 10.0
_DIGEST = "SHA-256="


class NatsBlobs:
    """A `Blobs` in the bucket `name`, which is made on the first `put`.

    Reading asks for one chunk after the other instead of through nats-py's ordered consumer: that
    one has no time limit and leaves its subscription and a task behind when cancelled.
    """

    def __init__(self, client: Client, bucket: str) -> None:
        self._jetstream: JetStreamContext = client.jetstream(timeout=ANSWER_TIMEOUT_S)
        self._client = client
        self._bucket = bucket
        self._stream = f"OBJ_{bucket}"
        self._catalogue = BlobCatalogue(self._jetstream, bucket, self._stream)
        self._known = False
        self._making = asyncio.Lock()

    async def put(self, name: str, data: bytes) -> None:
        """See `Blobs.put`. No bytes are written when the same ones are there already."""
        async with self._translated(name):
            store = await self._store()
            try:
                await self._write(store, name, data)
            except (js_errors.NoStreamResponseError, js_errors.NotFoundError):
                # The bucket was lost with the server's data since we saw it.
                self._known = False
                await self._write(await self._store(), name, data)

    async def get(self, name: str) -> bytes:
        """See `Blobs.get`; the digest is checked."""
        async with self._translated(name):
            info = await ObjectStore(self._bucket, self._stream, self._jetstream).get_info(name)
            data = await self._read(name, info)
        if info.digest and info.digest != _digest(data):
            raise Unavailable(
                f"blob {name} in {self._bucket} is damaged: its digest does not match",
                code="blob_damaged",
            )
        return data

    async def renew(self, name: str) -> None:
        """See `Blobs.renew`."""
        async with self._translated(name):
            if not await self._catalogue.renew(name):
                raise NotFound(f"no blob {name} in {self._bucket}")

    async def entries(self, *, after: int, limit: int) -> tuple[list[BlobEntry], int]:
        """See `Blobs.entries`."""
        async with self._translated("of any name"):
            return await self._catalogue.entries(after=after, limit=limit)

    async def delete_unchanged(self, entry: BlobEntry) -> bool:
        """See `Blobs.delete_unchanged`."""
        async with self._translated(entry.name):
            return await self._catalogue.delete_unchanged(entry)

    async def delete(self, name: str) -> None:
        """See `Blobs.delete`."""
        async with self._translated(name):
            await self._catalogue.delete(name)

    async def _read(self, name: str, info: ObjectInfo) -> bytes:
        chunks: list[bytes] = []
        sequence, subject = 0, f"$O.{self._bucket}.C.{info.nuid}"
        for _ in range(info.chunks or 0):
            chunk = await self._jetstream.get_msg(
                self._stream, seq=sequence + 1, subject=subject, direct=True, next=True
            )
            if chunk.seq is None or chunk.data is None:
                raise Unavailable(f"blob {name} has an empty chunk", code="blob_damaged")
            sequence = chunk.seq
            chunks.append(chunk.data)
        return b"".join(chunks)

    async def _write(self, store: ObjectStore, name: str, data: bytes) -> None:
        if await self._catalogue.renew(name, size=len(data), digest=_digest(data)):
            return
        chunk_bytes = min(CHUNK_BYTES, self._client.max_payload // 2)
        options = ObjectMetaOptions(max_chunk_size=chunk_bytes)
        await store.put(name, data, meta=ObjectMeta(name=name, options=options))

    async def _store(self) -> ObjectStore:
        async with self._making:
            if not self._known:
                try:
                    await self._jetstream.object_store(self._bucket)
                except js_errors.BucketNotFoundError:
                    await self._make()
                self._known = True
        return ObjectStore(self._bucket, self._stream, self._jetstream)

    async def _make(self) -> None:
        try:
            await self._jetstream.create_object_store(self._bucket)
        except js_errors.BadRequestError:
            # Somebody else made it meanwhile, with a configuration of theirs.
            await self._jetstream.object_store(self._bucket)

    @asynccontextmanager
    async def _translated(self, name: str) -> AsyncIterator[None]:
        try:
            yield
        except js_errors.NotFoundError as error:
            raise NotFound(f"no blob {name} in {self._bucket}") from error
        except js_errors.InvalidBucketNameError as error:
            raise InvalidInput(f"not a bucket name: {self._bucket!r}") from error
        except (errors.Error, AssertionError) as error:
            raise Unavailable(
                f"JetStream does not answer for blob {name}: {str(error) or type(error).__name__}",
                code="blobs_unavailable",
            ) from error


def _digest(data: bytes) -> str:
    return _DIGEST + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()
