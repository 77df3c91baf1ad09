"""A TCP proxy that misbehaves on demand: it cuts, stalls and half-closes what goes through it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self, cast

Address = tuple[str, int]
End = Literal["client", "server"]

_NO_LINGER = struct.pack("ii", 1, 0)
"""A close with these settings sends RST: what a crashed peer or a firewall does."""


class TcpProxy:
    """Listens on a free port of 127.0.0.1 and passes connections on, by turns, to its targets.

    A target that refuses is passed over, as a load balancer does; when all refuse, the client's
    connection is reset. Use it with ``async with``.

    Args:
        targets: where connections go; may be changed at any time for the next ones.
    """

    def __init__(self, targets: Sequence[Address] = ()) -> None:
        self.targets = list(targets)
        self.port = 0
        self.accepted = 0
        self._turn = 0
        self._connections: dict[Connection, None] = {}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self).client, "127.0.0.1", 0, backlog=2048
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self.connections:
            connection.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await self._server.wait_closed()

    @property
    def connections(self) -> list[Connection]:
        """Those that are open, oldest first."""
        return list(self._connections)

    def opened(self, connection: Connection) -> None:
        """A client connected; its connection asks for a target."""
        self.accepted += 1
        self._connections[connection] = None
        task = asyncio.get_running_loop().create_task(self._connect(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def closed(self, connection: Connection) -> None:
        """Both ends of a connection are gone."""
        self._connections.pop(connection, None)

    async def _connect(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        targets, first = self.targets, self._turn
        self._turn += 1
        for offset in range(len(targets)):
            target = targets[(first + offset) % len(targets)]
            try:
                await loop.create_connection(lambda: connection.server, *target)
            except OSError:
                continue
            return
        connection.cut()


class Connection:
    """One connection through the proxy, and the harm that can be done to it."""

    def __init__(self, proxy: TcpProxy) -> None:
        self.client = _End(self)
        self.server = _End(self)
        self.client.other, self.server.other = self.server, self.client
        self.stalled = False
        self.opened_at = asyncio.get_running_loop().time()
        self._proxy = proxy

    def cut(self) -> None:
        """Reset both ends; what was under way is lost."""
        for end in (self.client, self.server):
            end.reset()

    def stall(self) -> None:
        """Pass nothing on until `flow`; both ends stay open."""
        self.stalled = True
        for end in (self.client, self.server):
            end.consider_reading()

    def flow(self) -> None:
        """Pass on again what came while it was stalled, and what comes."""
        self.stalled = False
        for end in (self.client, self.server):
            end.consider_reading()

    def half_close(self, toward: End) -> None:
        """Tell one end that nothing more comes; what it still sends is passed on."""
        end = self.client if toward == "client" else self.server
        end.finish()

    def made(self, end: _End) -> None:
        if end is self.client:
            self._proxy.opened(self)
        elif self.client.transport is None:
            end.reset()
        for both in (self.client, self.server):
            both.consider_reading()

    def lost(self) -> None:
        if self.client.transport is None and self.server.transport is None:
            self._proxy.closed(self)


class _End(asyncio.Protocol):
    def __init__(self, connection: Connection) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _End
        self._connection = connection
        self._full = False
        self._finished = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._connection.made(self)

    def data_received(self, data: bytes) -> None:
        other = self.other
        if other.transport is not None and not other._finished:
            other.transport.write(data)

    def eof_received(self) -> bool:
        self.other.finish()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        other = self.other
        if other.transport is not None:
            if exc is None:
                other.transport.close()
            else:
                other.reset()
        self._connection.lost()

    def pause_writing(self) -> None:
        self._full = True
        self.other.consider_reading()

    def resume_writing(self) -> None:
        self._full = False
        self.other.consider_reading()

    def consider_reading(self) -> None:
        """Read while the other end takes what comes."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if self._connection.stalled or self.other._full or self.other.transport is None:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def finish(self) -> None:
        if self.transport is not None and not self._finished and not self.transport.is_closing():
            self._finished = True
            self.transport.write_eof()
            if self.other._finished:
                # Both ways are closed: nothing can come any more.
                self.transport.close()
                if self.other.transport is not None:
                    self.other.transport.close()

    def reset(self) -> None:
        transport = self.transport
        if transport is not None:
            linked = cast("socket.socket", transport.get_extra_info("socket"))
            if linked.fileno() >= 0:
                linked.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            transport.abort()
