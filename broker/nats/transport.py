"""nats-py's connection, read in another way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import ParseResult

from nats.aio.transport import TcpTransport

from broker.nats.incoming import Message, MessageReader


class MessageTransport(TcpTransport):
    """A connection that is read by a `MessageReader`, unless TLS lies between them."""

    def __init__(self) -> None:
        """Not connected yet."""
        super().__init__()  # type: ignore[no-untyped-call]

    def __bool__(self) -> bool:
        """True before it is connected too, so that nats-py makes no other."""
        return True

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        """As nats-py does it, with the other reader."""
        loop = asyncio.get_running_loop()
        reader = MessageReader(limit=buffer_size, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        host, port = uri.hostname, uri.port
        assert host is not None and port is not None  # noqa: S101, PT018  # nats-py saw to it
        transport, _ = await asyncio.wait_for(
            loop.create_connection(lambda: protocol, host, port), connect_timeout
        )
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self._bare_io_reader = self._io_reader = reader
        self._bare_io_writer = self._io_writer = writer

    def start(self, numbers: Callable[[int], bool], deliver: Callable[[Message], None]) -> None:
        """See `MessageReader.start`."""
        if isinstance(self._io_reader, MessageReader):
            self._io_reader.start(numbers, deliver)
