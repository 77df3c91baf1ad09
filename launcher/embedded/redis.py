"""The embedded Redis server: how it is started, and when it is ready."""

from __future__ import annotations

import asyncio
from pathlib import Path

from launcher.embedded.binaries import redis_server_binary
from launcher.embedded.ports import LOOPBACK


def redis_command(data_dir: Path, port: int) -> list[str]:
    """The command of a Redis server with an append-only file in `data_dir`.

    The file is synchronised every second: a killed server loses nothing, a power cut one second.

    Raises:
        MissingBinary: redis-server is not installed.
    """
    return [
        str(redis_server_binary()),
        "--bind", LOOPBACK,
        "--port", str(port),
        "--dir", str(data_dir),
        "--appendonly", "yes",
        "--appendfsync", "everysec",
        "--save", "",
        "--daemonize", "no",
    ]  # fmt: skip


async def redis_answers(host: str, port: int) -> bool:
    """True when a Redis server at `host:port` answers commands: not while it loads its file.

    A server that first wants a password is ready.
    """
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"PING\r\n")
            answer = await reader.readline()
        return answer.startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False
    finally:
        if writer is not None:
            writer.close()
