"""Forward and gradients of every layer, against PyTorch on the CPU.

PyTorch lives in an environment of its own, `.venv-torch`: a gigabyte that nothing else needs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ann_workers.backends.numpy.network import Network
from registry.networks.parameters import parameter_shapes
from registry.networks.spec import parse_spec
from tests.support.requirements import missing

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
REQUIREMENT = "torch==2.13.0"
INSTALL = f"python3 -m venv .venv-torch && .venv-torch/bin/pip install {REQUIREMENT} numpy"
ROWS, FEATURES = 6, 5
GRU = {"type": "gru", "units": 4}
NORM = {"type": "layer_norm", "epsilon": 1e-3}


def dense(units: int, activation: str = "linear", **more: Any) -> dict[str, Any]:
    return {"type": "dense", "units": units, "activation": activation, **more}


CASES: list[tuple[str, list[dict[str, Any]], str]] = [
    ("dense", [dense(3)], "mse"),
    ("dense without bias", [dense(3, bias=False)], "mse"),
    *((kind, [dense(7, kind), dense(3)], "mse") for kind in ("relu", "tanh", "sigmoid", "gelu")),
    ("softmax", [dense(7), dense(3, "softmax")], "softmax_cross_entropy"),
    ("layer_norm", [NORM], "mse"),
    ("gru", [GRU], "mse"),
    ("all", [dense(6, "gelu"), GRU, NORM, GRU, dense(3, "softmax")], "softmax_cross_entropy"),
]


def torch_python() -> str:
    """A Python with PyTorch: this one, or that of `.venv-torch`."""
    if importlib.util.find_spec("torch"):
        return sys.executable
    path = ROOT / ".venv-torch" / "bin" / "python"
    return str(path) if os.access(path, os.X_OK) else missing(REQUIREMENT, install=INSTALL)


def made(layers: list[dict[str, Any]], loss: str, seed: int) -> dict[str, Any]:
    spec = parse_spec({"name": "n", "input": {"shape": [FEATURES]}, "layers": layers, "loss": loss})
    rng = np.random.default_rng(seed)
    hidden = [rng.normal(size=(ROWS, one["units"])) for one in layers if one["type"] == "gru"]
    classes = spec.output_shape[-1]
    target = rng.normal(size=(ROWS, classes)) if loss == "mse" else rng.integers(classes, size=ROWS)
    return {
        "layers": layers,
        "loss": loss,
        "parameters": {n: rng.normal(size=s) for n, s in parameter_shapes(spec).items()},
        "input": rng.normal(size=(ROWS, FEATURES)),
        "hidden": hidden,
        "target": target,
    }


@pytest.fixture(scope="module")
def cases() -> dict[str, dict[str, Any]]:
    return {name: made(layers, loss, seed) for seed, (name, layers, loss) in enumerate(CASES)}


@pytest.fixture(scope="module")
def references(
    cases: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("torch")
    source, destination = folder / "in.json", folder / "out.json"
    source.write_text(json.dumps(list(cases.values()), default=lambda array: array.tolist()))
    script = Path(__file__).with_name("pytorch_reference.py")
    done = subprocess.run(
        [torch_python(), "-I", str(script), str(source), str(destination)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(zip(cases, json.loads(destination.read_text()), strict=True))


@pytest.mark.parametrize("name", [name for name, _, _ in CASES])
def test_output_loss_and_gradients_are_pytorchs(
    cases: dict[str, dict[str, Any]], references: dict[str, dict[str, Any]], name: str
) -> None:
    case, expected = cases[name], references[name]
    body = {"name": "n", "input": {"shape": [FEATURES]}} | {k: case[k] for k in ("layers", "loss")}
    network = Network(parse_spec(body), case["parameters"])
    arrays = network.learn(case["input"].copy(), case["hidden"], case["target"])
    output, loss, hidden, gradients = arrays
    np.testing.assert_allclose(output, expected["output"], atol=1e-6)
    np.testing.assert_allclose(loss, expected["loss"], rtol=1e-6)
    assert len(hidden) == len(expected["hidden"])
    for found, wanted in zip(hidden, expected["hidden"], strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert gradients.keys() == expected["gradients"].keys()
    for parameter, gradient in gradients.items():
        np.testing.assert_allclose(
            gradient, expected["gradients"][parameter], atol=1e-6, err_msg=parameter
        )
