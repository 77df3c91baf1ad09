"""Tensors for the tests, and arrays from payloads."""

from __future__ import annotations

from typing import Any

import numpy as np

from protos.dc.v1.tensor_pb2 import Payload, Tensor


def fp32(values: Any, name: str = "") -> Tensor:
    array = np.asarray(values, "<f4")
    return Tensor(name=name, datatype="FP32", shape=array.shape, data=array.tobytes())


def int64(values: Any, datatype: str = "INT64") -> Tensor:
    array = np.asarray(values, "<i8" if datatype == "INT64" else "<i4")
    return Tensor(datatype=datatype, shape=array.shape, data=array.tobytes())


def arrays_of(payload: bytes) -> dict[str, np.ndarray]:
    parsed = Payload.FromString(payload)
    return {
        tensor.name: np.frombuffer(tensor.data, "<f4").reshape(tuple(tensor.shape))
        for tensor in parsed.tensors
    }


def array_of(payload: bytes) -> np.ndarray:
    return arrays_of(payload)["output"]
