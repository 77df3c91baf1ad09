"""Our WebSocket server with an echo as its handler: `python -m tests.support.echo_server`.

Prints its port. It runs on the event loop that the services use.
"""

from __future__ import annotations

import asyncio
from typing import Final

from direct_contact.gateway.sockets import Socket, SocketHandler, SocketLimits, UpgradeRequest
from direct_contact.gateway.websocket_server import WebSocketServer
from foundation.process import run

MESSAGE_BYTES: Final = 32 << 20


class Echo(SocketHandler):
    """Sends back what comes."""

    def __init__(self) -> None:
        self._socket: Socket | None = None

    def opened(self, socket: Socket) -> None:
        self._socket = socket

    def messages(self, batch: list[bytes]) -> None:
        for message in batch:
            self._send(message)

    def text(self, message: str) -> None:
        self._send(message)

    def _send(self, message: bytes | str) -> None:
        assert self._socket is not None
        self._socket.send(message)

    def slow(self, buffered_bytes: int) -> None:
        raise AssertionError(f"{buffered_bytes} bytes wait to be read")

    def closed(self, code: int, reason: str) -> None:
        self._socket = None


async def accept(_: UpgradeRequest) -> SocketHandler:
    return Echo()


async def serve(stop: asyncio.Event) -> None:
    limits = SocketLimits(max_message_bytes=MESSAGE_BYTES, max_buffered_bytes=4 * MESSAGE_BYTES)
    server = WebSocketServer(accept, limits)
    print(await server.listen("127.0.0.1", 0), flush=True)
    await stop.wait()
    await server.close()


if __name__ == "__main__":
    run("echo", serve)
