"""How a process tells whoever started it that it is ready."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field

from foundation.settings import SettingsGroup


class ReadinessSettings(SettingsGroup):
    """How whoever started this process learns that it is ready."""

    ready_file: str = Field(
        "", description="File that receives a JSON object when the service is ready; empty: none"
    )


def write_ready(path: str | Path, **fields: Any) -> None:
    """Write the fields as JSON, atomically: a reader sees the whole file or none. "": nothing."""
    if not path:
        return
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    partial.write_text(json.dumps(fields) + "\n")
    partial.replace(target)
