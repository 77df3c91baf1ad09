"""What an object store knows of its blobs: one message for each, which a change must have seen.

nats-py lists them through a consumer without limits, and changes them without looking. Here each
change names the revision that it follows, so that of two that meet, one loses and knows it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from nats.js import JetStreamContext
from nats.js import errors as js_errors
from nats.js.api import Header, RawStreamMsg

from broker.port import BlobEntry
from foundation.errors import Unavailable

_WRONG_LAST_SEQUENCE: Final = 10071
_TRIES: Final = 5


class BlobCatalogue:
    """The catalogue of one bucket, in the object store's own format.

    Its methods raise nats-py's errors.

    Args:
        jetstream: of the connection.
        bucket: the bucket's name.
        stream: the bucket's stream.
    """

    def __init__(self, jetstream: JetStreamContext, bucket: str, stream: str) -> None:
        self._jetstream = jetstream
        self._bucket = bucket
        self._stream = stream

    async def entries(self, *, after: int, limit: int) -> tuple[list[BlobEntry], int]:
        """See `Blobs.entries`. Each takes a round trip."""
        found: list[BlobEntry] = []
        for _ in range(limit):
            try:
                message = await self._jetstream.get_msg(
                    self._stream, seq=after + 1, subject=self._subject("M", ">"), next=True
                )
            except js_errors.NotFoundError:
                return found, 0
            after = message.seq or 0
            told = _told(message)
            if not told.get("deleted") and message.time is not None:
                renewed_ms = int(message.time.timestamp() * 1000)
                found.append(BlobEntry(str(told["name"]), after, renewed_ms))
        return found, after

    async def renew(self, name: str, *, size: int | None = None, digest: str = "") -> bool:
        """See `Blobs.renew`. False: it is not there, or not of this size and digest."""
        lost_to_another = False
        while True:
            message = await self._last(name)
            told = {"deleted": True} if message is None else _told(message)
            same = size is None or (told.get("size", 0), told.get("digest")) == (size, digest)
            if message is None or told.get("deleted") or not same:
                return False
            # Whoever was faster has renewed it, meanwhile.
            if lost_to_another or await self._replace(name, message, told):
                return True
            lost_to_another = True

    async def delete_unchanged(self, entry: BlobEntry) -> bool:
        """See `Blobs.delete_unchanged`."""
        message = await self._last(entry.name)
        if message is None or message.seq != entry.revision:
            return False
        return await self._delete(entry.name, message)

    async def delete(self, name: str) -> None:
        """See `Blobs.delete`."""
        for _ in range(_TRIES):
            message = await self._last(name)
            if message is None or await self._delete(name, message):
                return
        raise Unavailable(f"blob {name} is being changed by many at once")

    async def _delete(self, name: str, message: RawStreamMsg) -> bool:
        told = _told(message)
        gone = {**told, "deleted": True, "size": 0, "chunks": 0, "digest": ""}
        revision = await self._replace(name, message, gone)
        if not revision:
            return False
        chunks = self._subject("C", str(told["nuid"]))
        await self._jetstream.purge_stream(self._stream, subject=chunks)
        # The marker goes too; not what came after it.
        place = self._subject("M", _encoded(name))
        await self._jetstream.purge_stream(self._stream, subject=place, seq=revision + 1)
        return True

    async def _last(self, name: str) -> RawStreamMsg | None:
        try:
            place = self._subject("M", _encoded(name))
            return await self._jetstream.get_last_msg(self._stream, place)
        except js_errors.NotFoundError:
            return None

    async def _replace(self, name: str, message: RawStreamMsg, told: Mapping[str, Any]) -> int:
        """Write a blob's entry anew; returns its revision, or 0 when `message` is not the last."""
        try:
            ack = await self._jetstream.publish(
                self._subject("M", _encoded(name)),
                json.dumps(told).encode(),
                headers={
                    Header.ROLLUP: "sub",
                    Header.EXPECTED_LAST_SUBJECT_SEQUENCE: str(message.seq),
                },
            )
        except js_errors.APIError as error:
            if error.err_code == _WRONG_LAST_SEQUENCE:
                return 0
            raise
        return ack.seq

    def _subject(self, part: str, name: str) -> str:
        return f"$O.{self._bucket}.{part}.{name}"


def _told(message: RawStreamMsg) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(message.data or b"{}")
    return told


def _encoded(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()
