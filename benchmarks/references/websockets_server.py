"""`websockets`: an echo, or the work computed in place. Argument: echo | compute."""

from __future__ import annotations

import sys

from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as listen
from websockets.exceptions import ConnectionClosed

from benchmarks.references.computing import Network
from benchmarks.references.serving import MAX_MESSAGE_BYTES, port_of, serve


async def start() -> int:
    answer = Network.given().answer if sys.argv[1] == "compute" else _same

    async def handle(socket: ServerConnection) -> None:
        try:
            while True:
                await socket.send(answer(await socket.recv(decode=False)))
        except ConnectionClosed:
            return

    server = await listen(
        handle,
        "127.0.0.1",
        0,
        compression=None,
        max_size=MAX_MESSAGE_BYTES,
        ping_interval=None,
    )
    return port_of(server)


def _same(message: bytes) -> bytes:
    return message


if __name__ == "__main__":
    serve(start)
