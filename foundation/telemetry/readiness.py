"""How a process tells whoever started it that it is ready."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field

from foundation.modules import modules
from foundation.settings import SettingsGroup


class ReadinessSettings(SettingsGroup):
    """How whoever started this process learns that it is ready."""

    ready_file: str = Field(
        "", description="File that receives a JSON object when the service is ready; empty: none"
    )


def write_ready(path: str | Path, **fields: Any) -> None:
    """Write the fields, and which modules run, as JSON; to "": nothing.

    It is atomic: a reader sees the whole file or none.
    """
    if not path:
        return
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    partial.write_text(json.dumps({**fields, "modules": modules()}) + "\n")
    partial.replace(target)
