"""A gated recurrent unit in one piece, written from its equations: what the stream must equal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def run_gru(weights: Mapping[str, Floats], inputs: Floats) -> Floats:
    """All hidden states float32[steps, units] for inputs float32[steps, features].

    `weights` has PyTorch's `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`, gates in the order
    r, z, n.
    """
    units = weights["weight_hh"].shape[1]
    hidden = np.zeros(units, np.float32)
    states = np.empty((len(inputs), units), np.float32)
    for step, x in enumerate(inputs):
        i_r, i_z, i_n = np.split(weights["weight_ih"] @ x + weights["bias_ih"], 3)
        h_r, h_z, h_n = np.split(weights["weight_hh"] @ hidden + weights["bias_hh"], 3)
        reset, update = _sigmoid(i_r + h_r), _sigmoid(i_z + h_z)
        candidate = np.tanh(i_n + reset * h_n)
        hidden = np.asarray(candidate + update * (hidden - candidate), np.float32)
        states[step] = hidden
    return states


def _sigmoid(x: Floats) -> Floats:
    result: Floats = np.reciprocal(np.float32(1) + np.exp(-x))
    return result
