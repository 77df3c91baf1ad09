"""A real Triton on the CPU, with models in Python: the binaries that nvidia-pytriton carries."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path

import httpx
import numpy as np

from direct_contact.client import Client
from tests.support.requirements import missing
from tests.support.servers import Server, free_port

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-triton"
REQUIREMENTS = "nvidia-pytriton==0.7.0 numpy==1.26.4"
INSTALL = f"python3 -m venv .venv-triton && .venv-triton/bin/pip install --no-deps {REQUIREMENTS}"
MODELS = Path(__file__).with_name("triton_models")
"""A model repository, as Triton reads it: a folder for each model, with its config.pbtxt."""

ABOUT_PYTHON = """
import sys, sysconfig
print(sysconfig.get_path("platlib"), sysconfig.get_config_var("LIBDIR"))
print(f"{sys.version_info.major}.{sys.version_info.minor}")
"""


class TritonServer(Server):
    """One tritonserver on 127.0.0.1 with the models of `triton_models`.

    Its gRPC port is `port`. A restart finds the same ports, and knows of no sequence.
    """

    kind = "tritonserver"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        python = ENVIRONMENT / "bin" / "python"
        if not os.access(python, os.X_OK):
            missing("nvidia-pytriton", install=INSTALL)
        told = subprocess.run(
            [str(python), "-c", ABOUT_PYTHON], check=True, capture_output=True, text=True
        ).stdout.split()
        site, libraries, version = Path(told[0]), told[1], told[2]
        triton = site / "pytriton" / "tritonserver"
        self._binary = triton / "bin" / "tritonserver"
        self._libraries = f"{site / 'nvidia_pytriton.libs'}:{libraries}"
        self._site = site
        backends = directory / "backends"
        if not backends.exists():
            shutil.copytree(triton / "backends", backends)
            stub = triton / "python_backend_stubs" / version / "triton_python_backend_stub"
            shutil.copy(stub, backends / "python")
            shutil.copytree(MODELS, directory / "models")
        self.models = directory / "models"
        self.http_port = free_port()

    @property
    def url(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    def load(self, model: str) -> None:
        """Have a model loaded, or loaded again."""
        self._repository(model, "load")

    def unload(self, model: str) -> None:
        """Have a model unloaded."""
        self._repository(model, "unload")

    def _repository(self, model: str, action: str) -> None:
        url = f"http://127.0.0.1:{self.http_port}/v2/repository/models/{model}/{action}"
        answer = httpx.post(url, json={}, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text

    def _command(self, port: int) -> list[str]:
        return [
            "/usr/bin/env",
            f"LD_LIBRARY_PATH={self._libraries}",
            f"PATH={ENVIRONMENT / 'bin'}:/usr/bin:/bin",
            str(self._binary),
            f"--model-repository={self.models}",
            "--model-control-mode=explicit",
            "--load-model=*",
            f"--backend-directory={self.directory / 'backends'}",
            f"--backend-config=python,shm-region-prefix-name=dc_{os.getpid()}_{port}",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={port}",
            "--http-address=127.0.0.1",
            f"--http-port={self.http_port}",
            "--allow-metrics=false",
            "--disable-auto-complete-config",
            "--exit-timeout-secs=5",
        ]

    def _greets(self, port: int) -> bool:
        try:
            url = f"http://127.0.0.1:{self.http_port}/v2/health/ready"
            return httpx.get(url, timeout=1.0, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False


async def create(client: Client, triton: TritonServer, model: str) -> str:
    """Create a network of one of the models; returns its name."""
    name = f"{model}-{secrets.token_hex(4)}"
    await client.create_network(
        {"name": name, "backend": "triton", "url": triton.url, "model": model}
    )
    return name


def x(*values: float) -> np.ndarray:
    """An input of the models `scale` and `total`: one row."""
    return np.array([values], np.float32)
