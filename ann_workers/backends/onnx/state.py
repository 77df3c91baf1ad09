"""The tensors that a session carries from output to input, and their bytes in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TypeAlias

import numpy as np
from google.protobuf.message import DecodeError

from ann_workers.backends.onnx.tensors import Array, to_array, to_payload
from foundation.errors import InvalidInput
from protos.dc.v1.tensor_pb2 import Payload
from registry.networks.datatypes import DTYPES
from registry.networks.onnx.spec import StateTensor

Carried: TypeAlias = Mapping[str, Array]
"""One array for each state tensor, by the name of the input. Never changed once it is made."""


def zero_state(entries: Sequence[StateTensor]) -> Carried:
    """The state before the first input."""
    return {entry.input: np.zeros(entry.shape, DTYPES[entry.datatype]) for entry in entries}


def encode_state(state: Carried, entries: Sequence[StateTensor]) -> bytes:
    """The state as a serialized `dc.v1.Payload`."""
    return b"".join(to_payload(e.input, e.datatype, state[e.input]) for e in entries)


def decode_state(data: bytes, entries: Sequence[StateTensor]) -> Carried:
    """The state from its bytes.

    Raises:
        InvalidInput: the bytes are not a state of a network with these state tensors.
    """
    try:
        tensors = Payload.FromString(data).tensors
    except DecodeError:
        raise InvalidInput("state: the bytes do not decode", code="bad_checkpoint") from None
    found = [(t.name, t.datatype, tuple(t.shape), len(t.data)) for t in tensors]
    expected = [
        (e.input, e.datatype, e.shape, prod(e.shape) * DTYPES[e.datatype].itemsize) for e in entries
    ]
    if found != expected:
        raise InvalidInput(
            f"state: expected tensors {expected!s:.300}, got {found!s:.300}",
            code="bad_checkpoint",
        )
    return {tensor.name: to_array(tensor, tensor.name) for tensor in tensors}
