"""The hand-made chain's second half: takes inputs from NATS, computes, answers each."""

from __future__ import annotations

import os

import nats
from nats.aio.msg import Msg

from benchmarks.references.computing import Network
from benchmarks.references.serving import serve


async def start() -> int:
    network = Network.given()
    connection = await nats.connect(os.environ["BENCHMARK_NATS_URL"], pending_size=64 << 20)

    async def work(message: Msg) -> None:
        await connection.publish(message.reply, network.answer(message.data))

    await connection.subscribe("chain.work", queue="workers", cb=work)
    await connection.flush()
    return 0


if __name__ == "__main__":
    serve(start)
