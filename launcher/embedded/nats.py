"""The embedded NATS server: how it is started, and when it is ready."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Final

from launcher.embedded.binaries import nats_server_binary
from launcher.embedded.ports import LOOPBACK

CONFIGURATION: Final = Path(__file__).with_name("nats.conf")


def nats_command(data_dir: Path, port: int) -> list[str]:
    """The command of a NATS server with JetStream, its files in `data_dir`.

    Raises:
        MissingBinary: nats-server is not installed.
    """
    return [
        str(nats_server_binary()),
        "--config", str(CONFIGURATION),
        "--addr", LOOPBACK,
        "--port", str(port),
        "--server_name", "direct-contact",
        "--jetstream",
        "--store_dir", str(data_dir),
        "--logtime=false",
    ]  # fmt: skip


def nats_environment(cores: int) -> dict[str, str]:
    """Environment for a NATS server that shares a machine of `cores` cores with what it serves.

    Its runtime looks for work on every core it may use before it sleeps. On two cores, with one
    left to it, it took 2.7 us of CPU a frame instead of 4.8.
    """
    return {"GOMAXPROCS": str(max(1, cores // 4))}


async def nats_answers(host: str, port: int) -> bool:
    """True when a NATS server accepts clients at `host:port`; it greets them with INFO."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_connection(host, port)
            greeting = await reader.readline()
        # A server greets in clear text, and switches to TLS after that.
        return greeting.startswith(b"INFO ") and bool(json.loads(greeting[5:]))
    except (OSError, ValueError):
        return False
    finally:
        if writer is not None:
            writer.close()
