"""The client's end of a stream: what is told to it, and the one close that it is told."""

from __future__ import annotations

from broker.messages import error_message
from direct_contact.gateway import telling
from direct_contact.gateway.sockets import Socket
from direct_contact.gateway.stats import GatewayStats
from direct_contact.session.close_codes import code_for
from foundation.errors import DirectContactError


class ClientEnd:
    """Takes frames while there is a socket. It knows neither the session nor its worker."""

    __slots__ = ("_socket", "_stats", "told")

    def __init__(self, stats: GatewayStats) -> None:
        self.told = 0
        """The code that the client was closed with; 0: it was not."""
        self._stats = stats
        self._socket: Socket | None = None

    def opened(self, socket: Socket) -> None:
        """The upgrade is done."""
        self._socket = socket

    def closed(self) -> None:
        """The link is gone: nothing goes anywhere from now on."""
        self._socket = None

    def send(self, data: bytes) -> None:
        """Send a frame; an empty one is none."""
        socket = self._socket
        if data and socket is not None:
            self._stats.frames_out += 1
            socket.send(data)

    def fail(self, error: DirectContactError, *, close_code: int | None = None) -> None:
        """Tell the client what went wrong, then close."""
        self.send(telling.failed(error_message(error)))
        self.close(close_code or code_for(error), f"{error.code}: {error.message}")

    def close(self, code: int, reason: str) -> None:
        """Close the socket; its handler's `closed` follows."""
        # The first one is what the client is told.
        self.told = self.told or code
        if self._socket is not None:
            self._socket.close(code, reason)
