"""The hand-made chain's first half: WebSockets in, one NATS message a frame, answers back.

No sessions, no resending, no credits: what is lost is lost.
"""

from __future__ import annotations

import itertools
import os

import nats
from nats.aio.msg import Msg
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as listen
from websockets.exceptions import ConnectionClosed

from benchmarks.references.serving import MAX_MESSAGE_BYTES, port_of, serve


async def start() -> int:
    connection = await nats.connect(os.environ["BENCHMARK_NATS_URL"], pending_size=64 << 20)
    gateway = f"chain.gateway.{os.getpid()}"
    sockets: dict[str, ServerConnection] = {}
    numbers = itertools.count(1)

    async def back(message: Msg) -> None:
        socket = sockets.get(message.subject)
        if socket is not None:
            try:
                await socket.send(message.data)
            except ConnectionClosed:
                sockets.pop(message.subject, None)

    await connection.subscribe(f"{gateway}.*", cb=back)

    async def handle(socket: ServerConnection) -> None:
        reply = f"{gateway}.{next(numbers)}"
        sockets[reply] = socket
        try:
            while True:
                message = await socket.recv(decode=False)
                await connection.publish("chain.work", message, reply=reply)
        except ConnectionClosed:
            return
        finally:
            sockets.pop(reply, None)

    server = await listen(
        handle,
        "127.0.0.1",
        0,
        compression=None,
        max_size=MAX_MESSAGE_BYTES,
        ping_interval=None,
    )
    return port_of(server)


if __name__ == "__main__":
    serve(start)
