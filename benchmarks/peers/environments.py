"""One virtual environment for each peer, below `.venv-peers/`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from benchmarks.peers.catalogue import Peer
from benchmarks.targets import ROOT

ENVIRONMENTS = ROOT / ".venv-peers"
INSTALL_TIMEOUT_S = 900.0


class NotInstalled(Exception):
    """A peer can't be measured here; the message says why."""


def python_of(peer: Peer) -> Path:
    """Its Python."""
    return ENVIRONMENTS / peer.name / "bin" / "python"


async def install(peer: Peer) -> None:
    """Make its environment, unless it is there with the same requirements.

    Raises:
        NotInstalled: tells what uv said.
    """
    mark = ENVIRONMENTS / peer.name / "installed.json"
    wanted = json.dumps(peer.requirements)
    if mark.exists() and mark.read_text() == wanted:
        return
    directory = str(ENVIRONMENTS / peer.name)
    await _do([sys.executable, "-m", "venv", "--without-pip", directory])
    # Not pip: it looked for 6 minutes for versions of Jina's requirements that fit, uv for 10 s.
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet"]
    await _do([*install, "--python", str(python_of(peer)), *peer.requirements])
    mark.write_text(wanted)


async def _do(command: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(INSTALL_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise NotInstalled(f"not installed within {INSTALL_TIMEOUT_S:.0f} s") from None
    if process.returncode:
        lines = output.decode(errors="replace").strip().splitlines() or ["no reason given"]
        errors = [line for line in lines if "error" in line.lower() or "×" in line] or lines
        raise NotInstalled("cannot be installed: " + errors[0][:200])
