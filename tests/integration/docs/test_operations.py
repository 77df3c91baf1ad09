"""The operations page lists the metrics that the services have, and no others."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx

from launcher.supervisor import Stack

PAGE = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()


async def test_metrics_are_those_of_the_page(stack: Stack) -> None:
    found: set[str] = set()
    async with httpx.AsyncClient(trust_env=False) as http:
        for ready_file in (stack.data.path / "run").glob("*.json"):
            port = json.loads(ready_file.read_text())["probe_port"]
            url = f"http://127.0.0.1:{port}"
            assert (await http.get(f"{url}/readyz")).status_code == 200
            assert (await http.get(f"{url}/healthz")).status_code == 200
            text = (await http.get(f"{url}/metrics")).text
            found |= set(re.findall(r"^# TYPE (dc_\w+) ", text, re.MULTILINE))
    named = set(re.findall(r"`(dc_\w+)`", PAGE))
    assert {name for name in found if not name.endswith("_created")} == named
