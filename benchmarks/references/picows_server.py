"""`picows`: an echo, or the work computed in place. Argument: echo | compute."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from benchmarks.references.computing import Network
from benchmarks.references.serving import MAX_MESSAGE_BYTES, port_of, serve

Answer = Callable[[bytes], bytes]


class Listener(WSListener):  # type: ignore[misc,unused-ignore]  # Cython has no types
    """One connection."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._answer = answer

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.BINARY:
            transport.send(WSMsgType.BINARY, self._answer(frame.get_payload_as_bytes()))
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()


async def start() -> int:
    # A generator that ends leaves inputs unanswered; the transport of picows warns of each.
    logging.getLogger("aiofastnet").setLevel(logging.ERROR)
    answer: Answer = Network.given().answer if sys.argv[1] == "compute" else _same

    def listener(_request: WSUpgradeRequest) -> WSListener:
        return Listener(answer)

    server = await ws_create_server(listener, "127.0.0.1", 0, max_frame_size=MAX_MESSAGE_BYTES)
    return port_of(server)


def _same(message: bytes) -> bytes:
    return message


if __name__ == "__main__":
    serve(start)
