"""What a recurrent session must answer: computed by itself, from the weights as REST gives them.

Nothing of the product computes here: a GRU cell and a dense layer in float32 numpy, and a reader
of the safetensors format.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

INPUTS = 4
UNITS = 8
OUTPUTS = 2
TOLERANCE = 1e-5
MEMORY_BIAS = 4.0
"""Added to the update gate: the state forgets 2 % a step, so that an input that was left out or
computed twice shows for hundreds of answers. A fresh network forgets half."""

SPEC: dict[str, Any] = {
    "name": "chaos",
    "input": {"datatype": "FP32", "shape": [INPUTS]},
    "layers": [{"type": "gru", "units": UNITS}, {"type": "dense", "units": OUTPUTS}],
    "loss": "mse",
    "optimizer": {"type": "sgd", "learning_rate": 0.01},
    "seed": 7,
}


def read_weights(data: bytes) -> dict[str, Array]:
    """The arrays of a safetensors file; FP32 only."""
    (header_bytes,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + header_bytes])
    body = memoryview(data)[8 + header_bytes :]
    arrays: dict[str, Array] = {}
    for name, entry in header.items():
        if name != "__metadata__":
            assert entry["dtype"] == "F32", entry
            start, end = entry["data_offsets"]
            flat = np.frombuffer(body[start:end], dtype="<f4")
            arrays[name] = flat.reshape(entry["shape"]).copy()
    return arrays


def write_weights(arrays: Mapping[str, Array]) -> bytes:
    """A safetensors file."""
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    offset = 0
    for name, array in arrays.items():
        part = np.ascontiguousarray(array, dtype="<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(part)],
        }
        offset += len(part)
        parts.append(part)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(parts)


def with_long_memory(weights: bytes) -> bytes:
    """The same weights, with a state that forgets slowly."""
    arrays = read_weights(weights)
    arrays["layers.0.bias_ih"][UNITS : 2 * UNITS] += MEMORY_BIAS
    return write_weights(arrays)


class Cell:
    """The network's one step."""

    def __init__(self, weights: bytes) -> None:
        arrays = read_weights(weights)
        self._weight_ih = arrays["layers.0.weight_ih"]
        self._weight_hh = arrays["layers.0.weight_hh"]
        self._bias_ih = arrays["layers.0.bias_ih"]
        self._bias_hh = arrays["layers.0.bias_hh"]
        self._weight = arrays["layers.1.weight"]
        self._bias = arrays["layers.1.bias"]

    def step(self, x: Array, hidden: Array) -> Array:
        """The next hidden state; gates in order r, z, n."""
        of_input = self._weight_ih @ x + self._bias_ih
        of_hidden = self._weight_hh @ hidden + self._bias_hh
        gates = 1 / (1 + np.exp(-(of_input[: 2 * UNITS] + of_hidden[: 2 * UNITS])))
        r, z = gates[:UNITS], gates[UNITS:]
        n = np.tanh(of_input[2 * UNITS :] + r * of_hidden[2 * UNITS :])
        state: Array = (1 - z) * n + z * hidden
        return state

    def answer(self, hidden: Array) -> Array:
        """The output of a hidden state."""
        out: Array = self._weight @ hidden + self._bias
        return out


class Oracle:
    """One session's history as it must be, in one piece.

    Args:
        cell: the network.
        seed: of the inputs.
    """

    ROWS = 1021
    """Inputs repeat after this many; the state does not."""
    KEPT = 8192
    """States that are kept; what may be lost goes back less far, or to the beginning."""

    def __init__(self, cell: Cell, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._rows = rng.normal(size=(self.ROWS, INPUTS)).astype(np.float32)
        self._cell = cell
        self._beginning = np.zeros(UNITS, np.float32)
        # The state after the input `seq` at `seq % KEPT`, for the last ones.
        self._states = np.zeros((self.KEPT, UNITS), np.float32)
        self._known = 0

    def input(self, seq: int) -> Array:
        """The input of this number: float32[INPUTS]."""
        row: Array = self._rows[seq % self.ROWS]
        return row

    def expected(self, seq: int) -> Array:
        """The answer to the input `seq`: float32[OUTPUTS]."""
        return self._cell.answer(self._state(seq))

    def lose(self, lost_from: int, lost_to: int) -> None:
        """The effect of these inputs is gone: what follows is computed without them."""
        self._keep(lost_to, self._state(lost_from - 1).copy())

    def _state(self, seq: int) -> Array:
        while self._known < seq:
            following = self._known + 1
            before = self._kept(self._known)
            self._keep(following, self._cell.step(self.input(following), before))
        return self._kept(seq)

    def _kept(self, seq: int) -> Array:
        assert seq == 0 or seq > self._known - self.KEPT, f"the state after {seq} is not kept"
        state: Array = self._states[seq % self.KEPT] if seq else self._beginning
        return state

    def _keep(self, seq: int, state: Array) -> None:
        self._states[seq % self.KEPT] = state
        self._known = seq
