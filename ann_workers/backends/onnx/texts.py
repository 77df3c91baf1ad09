"""BYTES tensors: each element a 4-byte little-endian length and that many bytes of UTF-8.

onnxruntime knows strings as texts alone: bytes that are none would reach a model as something else.
"""

from __future__ import annotations

from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from foundation.errors import InvalidInput
from protos.dc.v1.tensor_pb2 import Tensor

LENGTH_BYTES: Final = 4


def to_texts(tensor: Tensor, name: str) -> npt.NDArray[Any]:
    """The tensor's elements, as an array of `str`.

    Args:
        tensor: of BYTES.
        name: of the model's input, for messages.

    Raises:
        InvalidInput: the data is not that many elements, or one is not UTF-8.
    """
    data, shape = tensor.data, tuple(tensor.shape)
    count = prod(shape)
    # A shape may claim any number of elements; each takes its length at least.
    texts = np.empty(count if count * LENGTH_BYTES <= len(data) else 0, dtype=object)
    at = found = 0
    while found < len(texts) and at + LENGTH_BYTES <= len(data):
        start = at + LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "little")
        if at > len(data):
            break
        try:
            texts[found] = data[start:at].decode()
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"{name}: element {found} is not UTF-8 text: {error.reason} at byte {error.start}",
                field=name,
            ) from None
        found += 1
    if found != count or at != len(data):
        raise InvalidInput(
            f"{name}: expected {count} elements for BYTES {list(shape)}, each with its length "
            f"before it in {LENGTH_BYTES} bytes; the {len(data)} bytes that came are not",
            field=name,
        )
    return texts.reshape(shape)


def from_texts(array: npt.NDArray[Any]) -> bytes:
    """The data of a BYTES tensor of these texts."""
    pieces: list[bytes] = []
    for text in array.ravel().tolist():
        element = text.encode()
        pieces += (len(element).to_bytes(LENGTH_BYTES, "little"), element)
    return b"".join(pieces)
