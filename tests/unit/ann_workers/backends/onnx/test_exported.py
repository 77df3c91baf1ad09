"""A network of a layer spec, exported, against the numpy backend."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import pytest

from ann_workers.backends.numpy.backend import NumpyBackend
from ann_workers.backends.onnx.backend import OnnxBackend
from ann_workers.backends.port import Request
from registry.networks.onnx.export import STATE_KEY, export_network
from registry.networks.onnx.inspection import inspect_model
from registry.networks.onnx.spec import StateRequest
from registry.networks.parameters import initial_parameters
from registry.networks.spec import parse_spec
from registry.networks.weights import encode_weights
from tests.unit.ann_workers.backends.tensors import array_of, fp32

STEPS = 6
SESSIONS = 3


def dense(units: int, activation: str = "linear", **more: Any) -> dict[str, Any]:
    return {"type": "dense", "units": units, "activation": activation, **more}


@pytest.mark.parametrize(
    ("shape", "layers"),
    [
        ([4], [dense(3)]),
        ([4], [dense(3, bias=False)]),
        *(([5], [dense(7, kind), dense(2)]) for kind in ("relu", "tanh", "sigmoid", "gelu")),
        ([5], [dense(7, "relu"), dense(4, "softmax")]),
        ([3, 5], [dense(4, "gelu"), {"type": "layer_norm", "epsilon": 0.01}, dense(2)]),
        ([6], [{"type": "gru", "units": 8}]),
        (
            [6],
            [
                dense(5, "tanh"),
                {"type": "gru", "units": 8},
                {"type": "layer_norm"},
                {"type": "gru", "units": 3},
                dense(2),
            ],
        ),
    ],
)
def test_exported_network_gives_equal_outputs(
    shape: list[int], layers: list[dict[str, Any]]
) -> None:
    body = {"name": "net", "input": {"shape": shape}, "layers": layers, "seed": 4}
    spec = parse_spec(body)
    parameters = {
        name: array + np.random.default_rng(1).normal(scale=0.1, size=array.shape).astype("f4")
        for name, array in initial_parameters(spec).items()
    }
    data = export_network(spec, parameters)
    props = {p.key: p.value for p in onnx.ModelProto.FromString(data).metadata_props}
    state = [StateRequest.model_validate(one) for one in json.loads(props[STATE_KEY])]
    assert bool(state) == spec.stateful
    inspected = inspect_model(data, name="net", state=state)
    exported = OnnxBackend().load(inspected.spec.model_dump(mode="json"), data)
    original = NumpyBackend().load(body, encode_weights(parameters))
    states: list[Any] = [None] * SESSIONS
    hidden: list[Any] = [None] * SESSIONS
    for step in range(STEPS):
        rows = np.random.default_rng(step).normal(size=(SESSIONS, *shape)).astype(np.float32)
        expected = original.infer(
            [Request([fp32(x)], state=s) for x, s in zip(rows, states, strict=True)]
        )
        found = exported.infer(
            [Request([fp32(x[None])], state=s) for x, s in zip(rows, hidden, strict=True)]
        )
        states, hidden = [a.state for a in expected], [a.state for a in found]
        for one, other in zip(expected, found, strict=True):
            assert other.error is None
            np.testing.assert_allclose(
                array_of(other.payload)[0], array_of(one.payload), atol=2e-6, rtol=1e-5
            )
