"""Where the batch axes of a model's tensors are, as far as its declared axes tell.

Triton's convention is followed: the first axis of an input, when it is free, counts the rows.
Whether rows really do not depend on each other is proved by the worker, on the first batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from registry.networks.onnx.spec import BATCHED

Dims: TypeAlias = tuple[int | str, ...]
"""Sizes; a text is a free axis: its name, or "" when it has none."""


def batching_of(
    inputs: Mapping[str, Dims],
    outputs: Mapping[str, Dims],
    state: Mapping[str, Dims],
    carried: Mapping[str, str],
    *,
    wanted: bool,
) -> tuple[dict[str, int], str]:
    """The batch axis of each tensor that has one, and what to say of it.

    Args:
        inputs: those that clients send,
        outputs: those that clients see,
        state: the inputs that the session carries.
        carried: the output that feeds each of these.
        wanted: False: the creator wants inputs to be computed one by one.

    Returns:
        No axes, and the reason, when inputs can't be stacked. An input without a batch axis, such
        as a sampling rate, is shared: only inputs with equal ones are stacked.
    """
    if not wanted:
        return {}, "one by one: as asked for"
    leading = next((dims[0] for dims in inputs.values() if _is_free(dims, 0)), None)
    if leading is None:
        return {}, "one by one: no input has a free first axis"
    axes = {}
    for name, dims in inputs.items():
        axis = _axis(dims, str(leading))
        if axis is not None:
            axes[name] = axis
    for name, dims in state.items():
        axis = _state_axis(dims, str(leading))
        if axis is None:
            return {}, f"one by one: the state {name!r} has no batch axis"
        axes[name] = axes[carried[name]] = axis
    for name, dims in outputs.items():
        axis = _axis(dims, str(leading))
        if axis is None:
            return {}, f"one by one: the output {name!r} has no batch axis"
        axes[name] = axis
    return axes, BATCHED


def _is_free(dims: Dims, axis: int) -> bool:
    return axis < len(dims) and isinstance(dims[axis], str)


def _named(dims: Dims, leading: str) -> list[int]:
    return [axis for axis, dim in enumerate(dims) if leading and dim == leading]


def _axis(dims: Dims, leading: str) -> int | None:
    named = _named(dims, leading)
    if len(named) == 1:
        return named[0]
    return 0 if _is_free(dims, 0) else None


def _state_axis(dims: Dims, leading: str) -> int | None:
    named = _named(dims, leading)
    if len(named) == 1:
        return named[0]
    free = [axis for axis in range(len(dims)) if _is_free(dims, axis)]
    return free[0] if len(free) == 1 else None
