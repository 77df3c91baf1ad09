"""A name server that knows one name: what a container engine's tells of a service's replicas."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

_ANSWER = 0x8180
"""A response, recursion desired and available, no error."""
_TTL_S = 1


class NameServer:
    """Answers every question for an A record with `addresses`, on a free port of 127.0.0.1."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = list(addresses)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, name="names", daemon=True)

    @property
    def address(self) -> str:
        """HOST:PORT, for nginx's resolver."""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # An empty datagram ends the thread: closing a socket does not wake who reads it.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(512)
            if not query:
                return
            # The name ends with an empty label; type and class follow.
            question = query[12 : query.index(b"\0", 12) + 5]
            records = b"".join(
                struct.pack("!HHHIH", 0xC00C, 1, 1, _TTL_S, 4) + socket.inet_aton(address)
                for address in self.addresses
            )
            header = query[:2] + struct.pack("!HHHHH", _ANSWER, 1, len(self.addresses), 0, 0)
            self._socket.sendto(header + question + records, client)
