"""The work that every server here does: parse, `tanh(x @ W)` layer by layer, build the answer."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from protos.dc.v1.stream_pb2 import ClientFrame, ServerFrame
from protos.dc.v1.tensor_pb2 import Payload, Tensor
from registry.networks.parameters import initial_parameters
from registry.networks.spec import parse_spec

Vector = npt.NDArray[np.float32]
SPEC_VARIABLE = "BENCHMARK_SPEC"


class Network:
    """A network of dense layers with tanh and without biases, with the spec's initial weights.

    Args:
        spec: a layer spec, as REST takes it.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self.features: int = spec["input"]["shape"][-1]
        parameters = initial_parameters(parse_spec(spec))
        self.weights = [
            np.ascontiguousarray(parameters[f"layers.{index}.weight"].T, dtype=np.float32)
            for index, _ in enumerate(spec["layers"])
        ]

    @classmethod
    def given(cls) -> Network:
        """The one that the environment names."""
        return cls(json.loads(os.environ[SPEC_VARIABLE]))

    def compute(self, x: Vector) -> Vector:
        """The output for float32[features] or float32[rows, features]."""
        for weight in self.weights:
            x = np.tanh(x @ weight)
        return x

    def answer(self, message: bytes) -> bytes:
        """A ServerFrame for a ClientFrame."""
        frame = ServerFrame()
        for item in ClientFrame.FromString(message).inputs:
            tensor = Payload.FromString(item.payload).tensors[0]
            y = self.compute(np.frombuffer(tensor.data, dtype="<f4").reshape(tensor.shape))
            payload = Payload(tensors=[Tensor(datatype="FP32", shape=y.shape, data=y.tobytes())])
            frame.outputs.add(seq=item.seq, last=True, payload=payload.SerializeToString())
        return frame.SerializeToString()
