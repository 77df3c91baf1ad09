"""Named arrays as bytes: the safetensors format, with text metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, deserialize

from foundation.errors import InvalidInput

_LENGTH_BYTES = 8
"""A safetensors file begins with the length of its JSON header, as a little-endian uint64."""

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StoredArray:
    """One array as it was stored. `dtype` is safetensors' name for it, such as ``F32``."""

    dtype: str
    shape: tuple[int, ...]
    data: bytearray

    def float32(self, name: str, shape: tuple[int, ...]) -> Float32Array:
        """The array, writable and owned by the caller.

        Raises:
            InvalidInput: it is not float32, or not of that shape.
        """
        if self.dtype != "F32":
            raise InvalidInput(f"{name}: expected dtype F32, got {self.dtype}", field=name)
        if self.shape != shape:
            raise InvalidInput(
                f"{name}: expected shape {list(shape)}, got {list(self.shape)}", field=name
            )
        return np.frombuffer(self.data, dtype="<f4").reshape(shape)


def write_arrays(
    arrays: Mapping[str, Float32Array], metadata: Mapping[str, str] | None = None
) -> bytes:
    """The arrays as safetensors. Equal arrays and metadata in the same order give equal bytes.

    The library's own writer gives the metadata in random order.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    parts = []
    start = 0
    for name, array in arrays.items():
        parts.append(array.astype("<f4", copy=False).tobytes())
        stop = start + len(parts[-1])
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": (start, stop)}
        start = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH_BYTES)  # so that the data is aligned
    return b"".join((len(text).to_bytes(_LENGTH_BYTES, "little"), text, *parts))


def read_arrays(data: bytes, *, what: str) -> tuple[dict[str, StoredArray], dict[str, str]]:
    """The arrays by name, and the metadata.

    Args:
        data: safetensors bytes from anybody: nothing about them is trusted.
        what: what these bytes should be, for the message.

    Raises:
        InvalidInput: the bytes are not safetensors.
    """
    try:
        stored = deserialize(data)  # type: ignore[no-untyped-call]  # its stub has no types
        header_bytes = int.from_bytes(data[:_LENGTH_BYTES], "little")
        header = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + header_bytes])
    except (SafetensorError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(f"{what}: not a safetensors file: {error}") from error
    arrays = {
        name: StoredArray(str(one["dtype"]), tuple(one["shape"]), one["data"])
        for name, one in stored
    }
    return arrays, header.get("__metadata__") or {}


def require_names(found: Mapping[str, object], expected: Mapping[str, object], what: str) -> None:
    """Check that exactly the expected names are there.

    Raises:
        InvalidInput: naming what is missing and what is unknown.
    """
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    if missing or unknown:
        told = [f"missing {_some(missing)}"] if missing else []
        told += [f"unknown {_some(unknown)}"] if unknown else []
        raise InvalidInput(f"{what}: {'; '.join(told)}; expected {_some(list(expected))}")


def _some(names: list[str], limit: int = 8) -> str:
    shown = ", ".join(name[:80] for name in names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown
