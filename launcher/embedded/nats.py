"""The embedded NATS server: how it is started, and when it is ready."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
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


def nats_cores(allowed: Collection[int]) -> frozenset[int]:
    """Which of the cores that may be used are for the NATS server: a quarter, and at least one.

    Its runtime looks for work on every core that it may use before it sleeps, and wakes threads of
    its own on others. On two cores, a frame alone cost 130 us of CPU in a server that was free to
    move, and 110 us in one bound to a core; frames in plenty 2.5 us and 1.5.
    """
    return frozenset(sorted(allowed)[-max(1, len(allowed) // 4) :])


def nats_environment(cores: Collection[int]) -> dict[str, str]:
    """Environment for a NATS server on these cores, for systems that do not bind it to them."""
    return {"GOMAXPROCS": str(len(cores))}


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
