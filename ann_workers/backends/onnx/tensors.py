"""Tensors of requests: checked against what the model takes, read into arrays, and written."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ann_workers.backends.onnx.texts import from_texts, to_texts
from ann_workers.backends.payload import payload_prefix
from foundation.errors import InvalidInput
from protos.dc.v1.tensor_pb2 import Tensor
from registry.networks.datatypes import DTYPES
from registry.networks.onnx.spec import TensorShape

Array: TypeAlias = npt.NDArray[Any]
MAX_ROWS = 4096
"""Rows that one input of a stateless network may have on its batch axis."""


def named(tensors: Sequence[Tensor], inputs: Sequence[TensorShape]) -> dict[str, Tensor]:
    """The tensors by the names of the inputs; a single one may come without its name.

    Raises:
        InvalidInput: one is missing, unknown, or there twice.
    """
    if len(inputs) == 1 and len(tensors) == 1 and not tensors[0].name:
        return {inputs[0].name: tensors[0]}
    found = {tensor.name: tensor for tensor in tensors}
    expected = [entry.name for entry in inputs]
    if len(tensors) != len(expected) or set(found) != set(expected):
        came = ", ".join(repr(tensor.name[:80]) for tensor in tensors[:16]) or "none"
        raise InvalidInput(
            f"expected the tensors {', '.join(map(repr, expected))}, got {came}", field="tensors"
        )
    return found


def check_tensor(tensor: Tensor, entry: TensorShape, batch_axis: int | None, rows: int) -> None:
    """Check one tensor of an input.

    Args:
        tensor: as it came.
        entry: what the model takes.
        batch_axis: where its rows are; None: it has none.
        rows: the most rows it may have.

    Raises:
        InvalidInput: naming what was expected and what came.
    """
    name = entry.name
    if tensor.datatype != entry.datatype:
        raise InvalidInput(
            f"{name}: expected datatype {entry.datatype}, got {tensor.datatype[:80]}", field=name
        )
    shape = tuple(tensor.shape)
    fits = len(shape) == len(entry.shape) and all(
        size == wanted or (wanted < 0 and size >= 1)
        for size, wanted in zip(shape, entry.shape, strict=True)
    )
    if not fits:
        raise InvalidInput(
            f"{name}: expected shape {_told(entry.shape)}, got {str(list(shape))[:80]}", field=name
        )
    if batch_axis is not None and shape[batch_axis] > rows:
        raise InvalidInput(
            f"{name}: expected at most {rows} on axis {batch_axis}, got {shape[batch_axis]}"
            + (": one row a session, since the network has state" if rows == 1 else ""),
            field=name,
        )
    if entry.datatype == "BYTES":
        # Its elements are looked at where it is computed, off the event loop.
        return
    expected = prod(shape) * DTYPES[entry.datatype].itemsize
    if len(tensor.data) != expected:
        raise InvalidInput(
            f"{name}: expected {expected} bytes for {entry.datatype} {list(shape)}, "
            f"got {len(tensor.data)}",
            field=name,
        )


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


def _told(shape: Sequence[int]) -> str:
    return "[" + ", ".join("N" if size < 0 else str(size) for size in shape) + "]"
