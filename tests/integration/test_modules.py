"""Which modules the services run, where some of them are compiled."""

from __future__ import annotations

import json
from pathlib import Path

from foundation.modules import modules
from tests.support.launched import LaunchedStack


def test_services_run_the_modules_that_were_asked_for(tmp_path: Path) -> None:
    with LaunchedStack(tmp_path, "--workers", "1") as stack:
        told = {
            ready_file.stem: json.loads(ready_file.read_text())["modules"]
            for ready_file in (stack.data_dir / "run").glob("*.json")
        }
    assert len(told) == 3
    assert set(told.values()) == {modules()}, told
