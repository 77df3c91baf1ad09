"""A client of Jina's WebSocket stream: its own."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from jina import Client

from benchmarks.peers.clients.measured import Given, Tally, main


class Vector(BaseDoc):  # type: ignore[misc,unused-ignore]
    values: NdArray


async def converse(given: Given, tally: Tally) -> None:
    x = np.frombuffer(given.values, dtype="<f4")
    room = asyncio.Semaphore(given.outstanding)

    async def inputs() -> AsyncIterator[Vector]:
        while not tally.stopped:
            await room.acquire()
            tally.sent()
            yield Vector(values=x)

    client = Client(host="127.0.0.1", port=given.port, protocol="websocket", asyncio=True)
    async for docs in client.post(
        "/compute",
        inputs=inputs(),
        request_size=1,
        prefetch=given.outstanding,
        return_type=DocList[Vector],
        stream=True,
    ):
        for doc in docs:
            tally.answered(lambda doc=doc: np.asarray(doc.values, np.float32).tobytes())
            room.release()


if __name__ == "__main__":
    main(converse)
