"""Tensors that come in: checked against what the network takes, and read into arrays."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from ann_workers.backends.numpy.losses import Target
from ann_workers.backends.payload import payload_prefix
from foundation.errors import InvalidInput
from protos.dc.v1.tensor_pb2 import Tensor
from registry.networks.spec import NetworkSpec

INPUT_NAME = "input"
OUTPUT_NAME = "output"
TARGET_NAME = "target"
LOSS_NAME = "loss"
MAX_LEADING_ROWS = 4096

_ITEM_BYTES = {"FP32": 4, "INT32": 4, "INT64": 8}
_LOSS_PREFIX = payload_prefix(LOSS_NAME, "FP32", (), _ITEM_BYTES["FP32"])


def check_input(tensors: Sequence[Tensor], shape: tuple[int, ...], max_items: int) -> int:
    """Check an input, and answer how many items its leading axis has; 0: it has no such axis.

    Args:
        tensors: the input as it came.
        shape: the shape of one item.
        max_items: the longest leading axis allowed; 0: none is.

    Raises:
        InvalidInput: naming what was expected and what came.
    """
    tensor = _only(tensors, INPUT_NAME)
    if tensor.datatype != "FP32":
        raise InvalidInput(
            f"{INPUT_NAME}: expected datatype FP32, got {_short(tensor.datatype)}",
            field=INPUT_NAME,
        )
    came = tuple(tensor.shape)
    batched = max_items > 0 and len(came) == len(shape) + 1 and came[1:] == shape
    if came != shape and not batched:
        expected = f"{list(shape)}" + (f" or {['N', *shape]}" if max_items else "")
        raise InvalidInput(
            f"{INPUT_NAME}: expected shape {expected.replace(chr(39), '')}, got {_shape(came)}",
            field=INPUT_NAME,
        )
    if batched and not 1 <= came[0] <= max_items:
        raise InvalidInput(
            f"{INPUT_NAME}: expected a leading axis of 1 to {max_items} items, got {came[0]}",
            field=INPUT_NAME,
        )
    _check_length(tensor, came, INPUT_NAME)
    return came[0] if batched else 0


def read_target(
    tensors: Sequence[Tensor], spec: NetworkSpec, output_shape: tuple[int, ...]
) -> Target:
    """The target for an output of that shape: floats [rows, features] or int64[rows].

    Raises:
        InvalidInput: naming what was expected and what came; or the network has no loss.
    """
    if spec.loss is None:
        raise InvalidInput(f"the network {spec.name!r} has no loss: a target means nothing to it")
    tensor = _only(tensors, TARGET_NAME)
    came = tuple(tensor.shape)
    if tensor.datatype == "FP32":
        if came != output_shape:
            raise _target_shape(output_shape, came)
        _check_length(tensor, came, TARGET_NAME)
        return np.frombuffer(tensor.data, "<f4").reshape(-1, output_shape[-1])
    indexes = spec.loss == "softmax_cross_entropy"
    if not indexes or tensor.datatype not in _ITEM_BYTES:
        expected = "INT64 or INT32 class indexes, or FP32" if indexes else "FP32"
        raise InvalidInput(
            f"{TARGET_NAME}: expected datatype {expected}, got {_short(tensor.datatype)}",
            field=TARGET_NAME,
        )
    rows = output_shape[:-1]
    if came != rows and not (prod(rows) == 1 and came in {(), (1,)}):
        raise _target_shape(rows, came)
    _check_length(tensor, came, TARGET_NAME)
    dtype = "<i4" if tensor.datatype == "INT32" else "<i8"
    return _classes(np.frombuffer(tensor.data, dtype), output_shape[-1])


def loss_tensor(loss: float) -> bytes:
    """A serialized payload with the loss alone: appended to another, it adds its tensor there."""
    with np.errstate(over="ignore"):  # a loss too large for float32 is infinite
        return _LOSS_PREFIX + np.array(loss, "<f4").tobytes()


def _classes(indexes: npt.NDArray[Any], count: int) -> Target:
    wrong = indexes[(indexes < 0) | (indexes >= count)]
    if wrong.size:
        raise InvalidInput(
            f"{TARGET_NAME}: expected class indexes from 0 to {count - 1}, got {wrong[0]}",
            field=TARGET_NAME,
        )
    return indexes.astype(np.int64)


def _only(tensors: Sequence[Tensor], name: str) -> Tensor:
    if len(tensors) != 1:
        raise InvalidInput(f"expected one tensor {name!r}, got {len(tensors)} tensors", field=name)
    tensor = tensors[0]
    if tensor.name not in ("", name):
        raise InvalidInput(
            f"expected a tensor named {name!r} or without a name, got {_short(tensor.name)!r}",
            field=name,
        )
    return tensor


def _check_length(tensor: Tensor, shape: tuple[int, ...], name: str) -> None:
    expected = prod(shape) * _ITEM_BYTES[tensor.datatype]
    if len(tensor.data) != expected:
        raise InvalidInput(
            f"{name}: expected {expected} bytes for {tensor.datatype} {list(shape)}, "
            f"got {len(tensor.data)}",
            field=name,
        )


def _target_shape(expected: tuple[int, ...], came: tuple[int, ...]) -> InvalidInput:
    return InvalidInput(
        f"{TARGET_NAME}: expected shape {list(expected)}, got {_shape(came)}", field=TARGET_NAME
    )


def _shape(shape: tuple[int, ...]) -> str:
    return _short(str(list(shape)))


def _short(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else text[:limit] + "…"
