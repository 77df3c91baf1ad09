"""REST calls over one kept connection: HTTP by hand, because a client library costs 1 ms a call."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from benchmarks.load.plan import Door
from benchmarks.load.wires import Broken

LIMIT_BYTES = 1 << 20


class RestLine:
    """One connection to the API."""

    def __init__(self, host: str, port: int, api_key: str) -> None:
        self._host, self._port = host, port
        self._head = (
            f"Host: {host}:{port}\r\nAuthorization: Bearer {api_key}\r\n"
            "Content-Type: application/json\r\n"
        )
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, body: object) -> Any:
        """Call it.

        Raises:
            Broken: the answer is not a success.
        """
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                self._host, self._port, limit=LIMIT_BYTES
            )
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\n{self._head}Content-Length: {len(content)}\r\n\r\n"
        self._writer.write(head.encode() + content)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(answer.split(" ", 2)[1])
        size = 0
        for line in answer.split("\r\n")[1:]:
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                size = int(value)
        text = await self._reader.readexactly(size)
        if not 200 <= status < 300:
            raise Broken(f"POST {path}: {status} {text.decode(errors='replace')[:300]}")
        return json.loads(text)

    def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()


def door_of(stream: dict[str, Any]) -> Door:
    """The door that REST's answer to a new session names."""
    url = urlsplit(stream["url"])
    return Door(
        host=url.hostname or "127.0.0.1",
        port=url.port or 80,
        talk="stream",
        path=url.path,
        subprotocols=(stream["subprotocol"], f"dc.ticket.{stream['ticket']}"),
    )
