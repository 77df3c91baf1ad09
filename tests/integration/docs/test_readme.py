"""The README's example runs as it is written."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from launcher.supervisor import Stack

README = (Path(__file__).parents[3] / "README.md").read_text()
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
URL = "http://127.0.0.1:8000"


async def test_example_answers_when_it_runs_against_a_stack(stack: Stack, tmp_path: Path) -> None:
    assert EXAMPLE.count(URL) == 1  # where `direct-contact up` answers by default
    example = tmp_path / "example.py"
    example.write_text(EXAMPLE.replace(URL, stack.rest_url))
    for _ in range(2):  # it cleans up: it can be run again
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(example),
            env={**os.environ, "DC_API_KEY": stack.api_key},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, err.decode()
        answers = out.decode().splitlines()
        assert len(set(answers)) == 3
        assert all(re.fullmatch(r"\[ *-?[\d.e-]+ +-?[\d.e-]+ *\]", answer) for answer in answers)


def test_example_takes_the_key_from_where_the_launcher_puts_it() -> None:
    assert "export DC_API_KEY=$(cat .direct-contact/api_key)" in README
