"""The built wheel, and environments away from the checkout that hold it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALL_TIMEOUT_S = 600
"""Far above the seconds it takes, for registries that are slow."""
_HIDDEN = ("DC_", "PYTHON", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the wheel in it, and an empty folder to stand in."""

    path: Path
    folder: Path

    def run(self, *command: str, timeout_s: float = 110) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment; nothing of the checkout is in sight."""
        variables = {k: v for k, v in os.environ.items() if not k.startswith(_HIDDEN)}
        return subprocess.run(
            [self.path / "bin" / command[0], *command[1:]], cwd=self.folder, env=variables,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=timeout_s,
        )  # fmt: skip

    def importable(self, modules: Sequence[str]) -> set[str]:
        """Those of the modules that are installed."""
        code = (
            "import sys; from importlib.util import find_spec\n"
            "print(*(name for name in sys.argv[1:] if find_spec(name)))"
        )
        done = self.run("python", "-I", "-c", code, *modules)
        assert done.returncode == 0, done.stderr
        return set(done.stdout.split())


Installed = Callable[..., Environment]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    _must([sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)])
    return folder


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    """The wheel."""
    return next(built.glob("*.whl"))


@pytest.fixture(scope="session")
def contents(wheel: Path) -> list[str]:
    """The names of the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Makes a new environment with the wheel and the extras that are named, and nothing else."""

    def install(*extras: str) -> Environment:
        base = tmp_path_factory.mktemp("-".join(extras) or "base")
        environment = Environment(base / "venv", base / "empty")
        environment.folder.mkdir()
        # Our pip installs into it: one of its own would cost seconds.
        _must([sys.executable, "-m", "venv", "--without-pip", str(environment.path)])
        what = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
        _must(
            [
                sys.executable, "-m", "pip", "--python", str(environment.path / "bin" / "python"),
                "--disable-pip-version-check", "install", "--quiet", "--no-compile",
                "--constraint", str(ROOT / "constraints.txt"), what,
            ]
        )  # fmt: skip
        return environment

    return install


def _must(command: list[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
