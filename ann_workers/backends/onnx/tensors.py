"""Tensors of requests, read into arrays, and written."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ann_workers.backends.onnx.texts import from_texts, to_texts
from ann_workers.backends.payload import payload_prefix
from protos.dc.v1.tensor_pb2 import Tensor
from registry.networks.datatypes import DTYPES

Array: TypeAlias = npt.NDArray[Any]
MAX_ROWS = 4096
"""Rows that one input of a stateless network may have on its batch axis."""


def to_array(tensor: Tensor, name: str) -> Array:
    """The checked tensor's array; read-only, over its bytes; of BYTES an array of `str`.

    Raises:
        InvalidInput: it is of BYTES, and its elements are no texts; names the input `name`.
    """
    if tensor.datatype == "BYTES":
        return to_texts(tensor, name)
    return np.frombuffer(tensor.data, DTYPES[tensor.datatype]).reshape(tuple(tensor.shape))


def to_payload(name: str, datatype: str, array: Array) -> bytes:
    """A serialized payload of one tensor; several of them one after another are a payload too."""
    if datatype == "BYTES":
        data = from_texts(array)
    else:
        data = array.astype(DTYPES[datatype], copy=False).tobytes()
    return payload_prefix(name, datatype, array.shape, len(data)) + data
