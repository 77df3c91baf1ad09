"""The gru against a straightforward one, written from PyTorch's formulas gate by gate."""

from __future__ import annotations

import math

import numpy as np

from ann_workers.backends.numpy import NumpyBackend
from ann_workers.backends.port import Request
from registry.networks.weights import encode_weights
from tests.unit.ann_workers.backends.tensors import array_of, fp32

INPUTS, UNITS, STEPS = 3, 4, 12
SPEC = {"name": "g", "input": {"shape": [INPUTS]}, "layers": [{"type": "gru", "units": UNITS}]}


def weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    shapes = {
        "weight_ih": (3 * UNITS, INPUTS),
        "weight_hh": (3 * UNITS, UNITS),
        "bias_ih": (3 * UNITS,),
        "bias_hh": (3 * UNITS,),
    }
    return {
        f"layers.0.{name}": random.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def plain_step(w: dict[str, np.ndarray], x: list[float], h: list[float]) -> list[float]:
    """One step in Python floats, one unit at a time."""

    def dot(kind: str, bias: str, row: int, v: list[float]) -> float:
        row_weights = w[f"layers.0.{kind}"][row].tolist()
        return float(w[f"layers.0.{bias}"][row]) + sum(
            a * b for a, b in zip(row_weights, v, strict=True)
        )

    following = []
    for unit in range(UNITS):
        rows = (unit, UNITS + unit, 2 * UNITS + unit)
        i_r, i_z, i_n = (dot("weight_ih", "bias_ih", row, x) for row in rows)
        h_r, h_z, h_n = (dot("weight_hh", "bias_hh", row, h) for row in rows)
        r, z = sigmoid(i_r + h_r), sigmoid(i_z + h_z)
        n = math.tanh(i_n + r * h_n)
        following.append((1 - z) * n + z * h[unit])
    return following


def test_gru_equals_a_plain_one_when_a_sequence_runs_through() -> None:
    w = weights()
    model = NumpyBackend().load(SPEC, encode_weights(w))
    xs = np.random.default_rng(2).normal(size=(STEPS, INPUTS)).astype(np.float32)
    state, h = model.new_state(), [0.0] * UNITS
    for x in xs:
        (answer,) = model.infer([Request([fp32(x)], state=state)])
        state = answer.state
        h = plain_step(w, x.tolist(), h)
        np.testing.assert_allclose(array_of(answer.payload), h, atol=2e-6)


def test_gru_sessions_do_not_mix_when_they_share_batches() -> None:
    model = NumpyBackend().load(SPEC, encode_weights(weights()))
    xs = np.random.default_rng(3).normal(size=(5, STEPS, INPUTS)).astype(np.float32)
    together = [model.new_state() for _ in xs]
    alone = [model.new_state() for _ in xs]
    for step in range(STEPS):
        # A session takes part in some batches only, and not always in the same place.
        members = [i for i in range(5) if (i + step) % 3][:: 1 if step % 2 else -1]
        batch = [Request([fp32(xs[i, step])], state=together[i]) for i in members]
        for i, answer in zip(members, model.infer(batch), strict=True):
            together[i] = answer.state
            (single,) = model.infer([Request([fp32(xs[i, step])], state=alone[i])])
            alone[i] = single.state
            np.testing.assert_allclose(
                array_of(answer.payload), array_of(single.payload), atol=1e-6
            )
            np.testing.assert_allclose(answer.state[0], single.state[0], atol=1e-6)


def test_gru_state_is_unchanged_when_a_batch_was_computed() -> None:
    model = NumpyBackend().load(SPEC, encode_weights(weights()))
    (first,) = model.infer([Request([fp32([1, 2, 3])])])
    before = first.state[0].copy()
    request = Request([fp32([3, 2, 1])], state=first.state)
    (one,), (again,) = model.infer([request]), model.infer([request])
    np.testing.assert_array_equal(first.state[0], before)
    assert one.payload == again.payload


def test_gru_state_owns_its_memory_when_the_batch_was_large() -> None:
    model = NumpyBackend().load(SPEC, encode_weights(weights()))
    answers = model.infer([Request([fp32([i, 0, 0])]) for i in range(64)])
    assert all(answer.state[0].base is None for answer in answers)


def test_gru_states_stay_apart_when_layers_are_stacked() -> None:
    layers = [{"type": "gru", "units": 2}, {"type": "layer_norm"}, {"type": "gru", "units": 3}]
    model = NumpyBackend().load({**SPEC, "layers": layers}, b"")
    (answer,) = model.infer([Request([fp32([1, 2, 3])])])
    assert [part.shape for part in answer.state] == [(2,), (3,)]
    np.testing.assert_array_equal(array_of(answer.payload), answer.state[1])
