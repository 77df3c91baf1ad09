from __future__ import annotations

import numpy as np

from launcher.demo.recurrence import run_gru


def test_gru_keeps_its_state_when_the_update_gate_is_open() -> None:
    units, features = 2, 3
    weights = {
        "weight_ih": np.zeros((6, features), np.float32),
        "weight_hh": np.zeros((6, units), np.float32),
        # r, z, n: z is 1, so that the new state is the old one, zero.
        "bias_ih": np.array([0, 0, 50, 50, 1, 1], np.float32),
        "bias_hh": np.zeros(6, np.float32),
    }
    assert not run_gru(weights, np.ones((4, features), np.float32)).any()


def test_gru_follows_its_equations_when_it_has_one_unit() -> None:
    weights = {
        "weight_ih": np.array([[0.5], [-0.25], [1.0]], np.float32),
        "weight_hh": np.array([[0.1], [0.2], [-0.3]], np.float32),
        "bias_ih": np.array([0.01, 0.02, 0.03], np.float32),
        "bias_hh": np.array([0.04, 0.05, 0.06], np.float32),
    }
    h = 0.0
    expected = []
    for x in (0.7, -1.2, 0.1):
        r = 1 / (1 + np.exp(-(0.5 * x + 0.01 + 0.1 * h + 0.04)))
        z = 1 / (1 + np.exp(-(-0.25 * x + 0.02 + 0.2 * h + 0.05)))
        n = np.tanh(x + 0.03 + r * (-0.3 * h + 0.06))
        h = (1 - z) * n + z * h
        expected.append(h)
    got = run_gru(weights, np.array([[0.7], [-1.2], [0.1]], np.float32))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[:, 0], expected, rtol=1e-6)
