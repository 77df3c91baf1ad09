"""The example of a backend of one's own, installed beside the wheel and served."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.packaging.conftest import INSTALL_TIMEOUT_S, ROOT, Installed

pytestmark = pytest.mark.timeout(INSTALL_TIMEOUT_S)

EXAMPLE = ROOT / "docs" / "examples" / "backend_package"
START_TIMEOUT_S = 90.0


def test_example_backend_is_found_and_served(installed: Installed, tmp_path: Path) -> None:
    environment = installed("local")
    done = subprocess.run(
        [
            sys.executable, "-m", "pip", "--python", str(environment.path / "bin" / "python"),
            "--disable-pip-version-check", "install", "--quiet", "--no-deps", str(EXAMPLE),
        ],
        capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ready = tmp_path / "ready.json"
    log = (tmp_path / "log").open("w")
    stack = subprocess.Popen(
        [
            environment.path / "bin" / "direct-contact", "up", "--port", "0", "--stream-port", "0",
            "--workers", "1", "--data-dir", tmp_path / "data", "--ready-file", ready,
        ],
        cwd=environment.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready.exists():
            assert stack.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.02)
        said = json.loads(ready.read_text())
        tried = environment.run(
            "python", str(EXAMPLE / "try_it.py"), said["rest_url"], said["api_key"]
        )
        assert tried.stdout.split("\n")[:3] == ["[1. 1. 1.]", "[1.5 1.5 1.5]", "[3. 3. 3.]"], (
            tried.stderr
        )
    finally:
        stack.send_signal(signal.SIGTERM)
        assert stack.wait(60) == 0
        log.close()
