"""The state of a session of a recurrent network, and its bytes in a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from foundation.errors import InvalidInput
from registry.networks.arrays import Float32Array, read_arrays, require_names, write_arrays

HiddenState: TypeAlias = tuple[Float32Array, ...]
"""One float32[units] for each gru, in layer order. Never changed once it is made."""

FORMAT = "direct-contact.numpy.state"
FORMAT_VERSION = "1"


def zero_state(units: tuple[int, ...]) -> HiddenState:
    """The state before the first input."""
    return tuple(np.zeros(size, np.float32) for size in units)


def separated(hidden: Sequence[Float32Array]) -> list[HiddenState]:
    """One state for each row of a batch; copies, so that no session keeps the batch in memory."""
    return list(zip(*([row.copy() for row in layer] for layer in hidden), strict=True))


def encode_state(state: HiddenState) -> bytes:
    """The state as safetensors."""
    arrays = {f"hidden.{index}": array for index, array in enumerate(state)}
    return write_arrays(arrays, {"format": FORMAT, "format_version": FORMAT_VERSION})


def decode_state(data: bytes, units: tuple[int, ...]) -> HiddenState:
    """The state from its bytes.

    Raises:
        InvalidInput: the bytes are not a state of a network with these units.
    """
    stored, metadata = read_arrays(data, what="state")
    require_format(metadata, FORMAT, FORMAT_VERSION, what="state")
    shapes = {f"hidden.{index}": (size,) for index, size in enumerate(units)}
    require_names(stored, shapes, "state")
    return tuple(stored[name].float32(name, shape) for name, shape in shapes.items())


def require_format(metadata: dict[str, str], name: str, version: str, *, what: str) -> None:
    """Check that the metadata names this format in this version.

    Raises:
        InvalidInput: naming what was expected and what came.
    """
    came = (metadata.get("format", "none"), metadata.get("format_version", "none"))
    if came != (name, version):
        raise InvalidInput(
            f"{what}: expected format {name} version {version}, "
            f"got {came[0][:80]} version {came[1][:80]}"
        )
