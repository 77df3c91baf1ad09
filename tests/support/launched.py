"""`direct-contact up` as a process of its own, and what its services say of themselves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 60.0


class LaunchedStack:
    """The whole stack on free ports, started inside `with` and stopped in order after it.

    Args:
        directory: for its data and its log.
        options: of `direct-contact up`.
        environment: variables for its services.
    """

    def __init__(self, directory: Path, *options: str, **environment: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.data_dir = directory / "data"
        self.log_file = directory / "log"
        self._ready_file = directory / "ready.json"
        self._options = options
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DC_")}
        self._environment = {**kept, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ready(self) -> dict[str, Any]:
        """What the ready file says now."""
        found: dict[str, Any] = json.loads(self._ready_file.read_text())
        return found

    def service(self, label: str) -> dict[str, Any]:
        """What one service, such as `gateway-1`, said when it was ready: its port, its pid …"""
        found: dict[str, Any] = json.loads((self.data_dir / "run" / f"{label}.json").read_text())
        return found

    def __enter__(self) -> Self:
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-m", "launcher", "up", "--port", "0", "--stream-port", "0",
                    "--data-dir", str(self.data_dir), "--ready-file", str(self._ready_file),
                    *self._options,
                ],
                cwd=ROOT, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._ready_file.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._stop()
                raise RuntimeError(f"the stack did not start:\n{self.log_file.read_text()[-4000:]}")
            time.sleep(0.02)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        code = self._stop()
        if error is None and code != 0:
            raise RuntimeError(f"the stack ended with {code}:\n{self.log_file.read_text()[-4000:]}")

    def _stop(self) -> int:
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            # Its processes end with it.
            process.kill()
            return process.wait()


def metric(probe_port: int, name: str) -> float:
    """The value of an unlabelled metric of one process."""
    url = f"http://127.0.0.1:{probe_port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))
