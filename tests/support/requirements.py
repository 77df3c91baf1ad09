"""What a system test needs from the machine: found, or told how to get it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest


def program(name: str, *, install: str, folders: Sequence[str | Path] = ()) -> str:
    """The path of a program, in `folders` or on PATH.

    Without it the test is skipped, and says how to install it; where CI=true it fails.
    """
    for folder in (*folders, "/usr/sbin"):
        if (path := Path(folder) / name).is_file() and os.access(path, os.X_OK):
            return str(path)
    return shutil.which(name) or missing(name, install=install)


def missing(what: str, *, install: str) -> NoReturn:
    """End the test because the machine lacks something."""
    message = f"{what} is missing: {install}"
    if os.environ.get("CI", "").lower() in {"true", "1"}:
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
