"""The demo's five steps, end to end: the real services, started as the command starts them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from launcher.demo import answering
from launcher.demo.failing import DemoFailed
from launcher.demo.run import run_demo
from launcher.demo.screen import SilentScreen
from launcher.supervisor import Line, StackOptions, launcher_of

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("DC_")}


async def demo(tmp_path: Path, *options: str, **more: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "launcher", "demo", *options,
        cwd=Path(__file__).parents[2], env={**ENVIRONMENT, "TMPDIR": str(tmp_path), **more},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 110)
    return process.returncode or 0, out.decode(), err.decode()


def is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


async def test_demo_shows_its_five_steps_when_it_runs(tmp_path: Path) -> None:
    code, out, err = await demo(tmp_path)
    assert code == 0, out + err
    for number, words in enumerate(
        ("A network", "Training", "Eight sessions", "Scaling", "What it took"), start=1
    ):
        assert f"\n{number} {words}" in out
    assert "says " in out
    assert "answering" in out
    assert is_empty(tmp_path)


async def test_demo_keeps_its_promises_when_it_reports_as_json(tmp_path: Path) -> None:
    code, out, err = await demo(tmp_path, "--json", "--data-dir", str(tmp_path / "data"))
    assert code == 0, out + err
    report: dict[str, Any] = json.loads(out)
    assert report["accuracy"] >= 0.95
    assert report["largest_difference"] <= 1e-5
    assert [step["what"] for step in report["steps"]] == ["training", "answering", "scaling"]
    assert report["steps"][1]["frames"] == 8 * 360
    assert len(report["steps"][1]["workers"]) == 2
    assert len(report["memory_mib"]) == 6


async def test_demo_names_the_step_and_stops_everything_when_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "LEAST_ACCURACY", 1.1)
    options = StackOptions(
        data_dir=tmp_path / "data", port=0, stream_port=0, workers=2, environment=ENVIRONMENT
    )
    lines: list[Line] = []
    with pytest.raises(DemoFailed, match=r"step 3 .* accuracy 0\.\d+, at least 1\.1") as caught:
        await run_demo(options, SilentScreen(), lines.append)
    assert caught.value.exit_code == 13
    assert launcher_of(tmp_path / "data") is None


async def test_demo_says_that_the_start_failed_when_it_did(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, out, _err = await demo(tmp_path, "--json", "--data-dir", str(tmp_path / "file" / "d"))
    assert code == 10
    assert json.loads(out)["error"]["step"] == 0
