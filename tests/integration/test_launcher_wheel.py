"""The built wheel, away from the checkout: the demo with `local`, a hint without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALL_TIMEOUT_S = 600

pytestmark = pytest.mark.timeout(INSTALL_TIMEOUT_S)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)],
        check=True, capture_output=True, timeout=INSTALL_TIMEOUT_S,
    )  # fmt: skip
    return next(folder.glob("*.whl"))


def installed(folder: Path, what: str) -> Path:
    """The `direct-contact` of a new environment that has only `what`."""
    venv.create(folder, with_pip=True)
    constraints = str(ROOT / "constraints.txt")
    subprocess.run(
        [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "-c", constraints, what],
        check=True, capture_output=True, timeout=INSTALL_TIMEOUT_S,
    )  # fmt: skip
    return folder / "bin" / "direct-contact"


def run(command: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    hidden = ("DC_", "PYTHON", "VIRTUAL_ENV")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    return subprocess.run(
        [command, "demo", "--json"], cwd=folder, env=environment,
        check=False, capture_output=True, text=True, timeout=110,
    )  # fmt: skip


def test_wheel_runs_the_demo_when_it_is_installed_with_local(wheel: Path, tmp_path: Path) -> None:
    command = installed(tmp_path / "venv", f"{wheel}[local]")
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accuracy"] >= 0.95


def test_wheel_tells_of_the_extra_when_it_is_installed_without(wheel: Path, tmp_path: Path) -> None:
    command = installed(tmp_path / "venv", str(wheel))
    done = run(command, tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "pip install 'direct-contact[local]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
