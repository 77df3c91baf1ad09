"""The script that the containers' health checks run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from foundation.telemetry import Health, ProbeServer
from tests.support.servers import free_port

SCRIPT = Path(__file__).parents[2] / "docker" / "ready.py"


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def port(health: Health) -> Iterator[int]:
    server = ProbeServer(health, host="127.0.0.1", port=0, registry=CollectorRegistry())
    yield server.port
    server.close()


def check(port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPT), f"http://127.0.0.1:{port}/readyz"],
        env={"http_proxy": "http://127.0.0.1:9"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_check_passes_when_the_service_is_ready(port: int) -> None:
    assert check(port).returncode == 0


def test_check_tells_what_is_missing_when_the_service_is_not_ready(
    health: Health, port: int
) -> None:
    health.checks["nats"] = lambda: "not connected"
    done = check(port)
    assert done.returncode == 1
    assert "503" in done.stderr
    assert '"nats": "not connected"' in done.stderr


def test_check_fails_in_one_line_when_nothing_listens() -> None:
    done = check(free_port())
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
