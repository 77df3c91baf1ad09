"""Bare NATS request/reply: answers what comes on `bench.echo` with the same bytes."""

from __future__ import annotations

import os

import nats
from nats.aio.msg import Msg

from benchmarks.references.serving import serve


async def start() -> int:
    connection = await nats.connect(os.environ["BENCHMARK_NATS_URL"])

    async def reply(message: Msg) -> None:
        await message.respond(message.data)

    await connection.subscribe("bench.echo", cb=reply)
    await connection.flush()
    return 0


if __name__ == "__main__":
    serve(start)
