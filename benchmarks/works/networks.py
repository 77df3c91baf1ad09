"""The networks that are served, as layer specs."""

from __future__ import annotations

from typing import Any

FEATURES = 64


def dense(name: str, *widths: int, features: int = FEATURES) -> dict[str, Any]:
    """Dense layers with tanh and without biases: `tanh(x @ W)` for each."""
    return {
        "name": name,
        "input": {"datatype": "FP32", "shape": [features]},
        "layers": [
            {"type": "dense", "units": width, "activation": "tanh", "bias": False}
            for width in widths
        ],
        "seed": 1,
    }


SMALL = dense("small", 64)
"""64 float32 in, tanh(x @ W), 64 float32 out: 256 bytes each way."""

BATCHABLE = dense("batchable", 512, 512, 64)
"""330 thousand parameters: the size of a small ONNX model, where a batch costs less than its
inputs one by one."""

WIDE_FEATURES = 256
WIDE = dense("wide", 3000, 3000, 64, features=WIDE_FEATURES)
"""10 million parameters, as many as a layer spec may have: computing costs far more than moving the
1 KiB of a row."""

GRU: dict[str, Any] = {
    "name": "gru",
    "input": {"datatype": "FP32", "shape": [FEATURES]},
    "layers": [{"type": "gru", "units": 64}],
    "seed": 1,
}
"""A session's state is 256 bytes."""
