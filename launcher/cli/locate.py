"""Finds the running stack that a command is about."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.errors import InvalidInput, NotFound, Unavailable
from launcher.supervisor.datadir import DataDir, launcher_of


@dataclass(frozen=True, slots=True)
class RunningStack:
    """Where a stack answers."""

    rest_url: str
    api_key: str
    stream_url: str = ""
    """Empty when only REST's URL is known."""
    data_dir: str = ""
    processes: tuple[dict[str, Any], ...] = ()


def locate(data_dir: Path, rest_url: str, api_key: str) -> RunningStack:
    """The stack at `rest_url`, or, when that is empty, the one that runs on `data_dir`.

    Raises:
        NotFound: nothing runs on the data directory.
        Unavailable: it is still starting.
        InvalidInput: a URL without a key.
    """
    if rest_url:
        if not api_key:
            raise InvalidInput("--rest-url needs --api-key, or DC_API_KEY", field="api_key")
        return RunningStack(rest_url.rstrip("/"), api_key)
    pid = launcher_of(data_dir)
    if pid is None:
        raise NotFound(
            f"no stack runs on --data-dir {data_dir}: start one with `direct-contact up`, or name "
            "another with --data-dir or --rest-url"
        )
    try:
        said = json.loads(DataDir(data_dir).ready_file.read_text())
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"the stack on --data-dir {data_dir} (pid {pid}) is starting or stopping"
        ) from error
    return RunningStack(
        rest_url=said["rest_url"],
        api_key=api_key or said["api_key"],
        stream_url=said["stream_url"],
        data_dir=said["data_dir"],
        processes=tuple(said["processes"]),
    )
