"""The examples run as they are, against a real stack, and say what they promise."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from launcher.supervisor import Stack

ROOT = Path(__file__).parents[3]
EXAMPLES = {
    "digits_live.py": "new digits are right",
    "gru_stream.py": "1000 answers in order",
    "notebook_blocking.py": "as expected: input: expected shape",
}


def test_every_example_is_run() -> None:
    assert {path.name for path in (ROOT / "docs" / "examples").glob("*.py")} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("by_option", [True, False])
async def test_example_ends_well(stack: Stack, name: str, by_option: bool) -> None:
    options = ["--rest-url", stack.rest_url, "--api-key", stack.api_key] if by_option else []
    variables = {} if by_option else {"DC_REST_URL": stack.rest_url, "DC_API_KEY": stack.api_key}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DC_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", f"docs/examples/{name}", *options,
        cwd=ROOT,
        env={**kept, **variables, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode == 0, err.decode()
    assert not err.decode()
    assert EXAMPLES[name] in out.decode()
