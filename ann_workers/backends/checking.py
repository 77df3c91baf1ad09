"""The tensors of an input against what a model takes: names, datatypes, shapes, sizes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import prod
from typing import Protocol

from foundation.errors import InvalidInput
from protos.dc.v1.tensor_pb2 import Tensor
from registry.networks.datatypes import DTYPES

LENGTH_BYTES = 4
"""Before each element of a BYTES tensor."""


class Expected(Protocol):
    """What one tensor should look like; -1 in `shape` is an axis of any size."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def datatype(self) -> str: ...  # noqa: D102
    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102


def named(
    tensors: Sequence[Tensor], inputs: Sequence[Expected], optional: Collection[str] = ()
) -> dict[str, Tensor]:
    """The tensors by the names of the inputs; a single one may come without its name.

    Raises:
        InvalidInput: one is unknown, there twice, or missing and not `optional`.
    """
    if len(inputs) == 1 and len(tensors) == 1 and not tensors[0].name:
        return {inputs[0].name: tensors[0]}
    found = {tensor.name: tensor for tensor in tensors}
    expected = {entry.name for entry in inputs}
    if len(tensors) != len(found) or not expected.difference(optional) <= set(found) <= expected:
        came = ", ".join(repr(tensor.name[:80]) for tensor in tensors[:16]) or "none"
        told = ", ".join(
            repr(entry.name) + (" (optional)" if entry.name in optional else "") for entry in inputs
        )
        raise InvalidInput(f"expected the tensors {told}, got {came}", field="tensors")
    return found


def check_tensor(tensor: Tensor, entry: Expected, batch_axis: int | None, rows: int) -> None:
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
        # Its elements are looked at where it is computed, which may be elsewhere.
        return
    expected = prod(shape) * DTYPES[entry.datatype].itemsize
    if len(tensor.data) != expected:
        raise InvalidInput(
            f"{name}: expected {expected} bytes for {entry.datatype} {list(shape)}, "
            f"got {len(tensor.data)}",
            field=name,
        )


def check_elements(tensor: Tensor, name: str) -> None:
    """Check the elements of a BYTES tensor whose shape was checked: it takes a walk over all.

    Raises:
        InvalidInput: they are not as many as `shape` says, each with its length.
    """
    data, at, found = tensor.data, 0, 0
    count = prod(tensor.shape)
    while found < count and at + LENGTH_BYTES <= len(data):
        at += LENGTH_BYTES + int.from_bytes(data[at : at + LENGTH_BYTES], "little")
        found += 1
    if found != count or at != len(data):
        raise InvalidInput(
            f"{name}: expected {count} elements for BYTES {list(tensor.shape)}, each with its "
            f"length before it in {LENGTH_BYTES} bytes; the {len(data)} bytes that came are not",
            field=name,
        )


def _told(shape: Sequence[int]) -> str:
    return "[" + ", ".join("N" if size < 0 else str(size) for size in shape) + "]"
