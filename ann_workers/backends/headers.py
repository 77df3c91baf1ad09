"""Payloads recognised by their header: most inputs of a network differ only in their data.

A network with one input of a fixed shape gets the same bytes before the data again and again. Once
such a payload was parsed and checked, the next one is known by comparing its beginning: the header
holds everything there is to check, the data's length included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ann_workers.backends.payload import payload_prefix
from ann_workers.backends.port import Signature
from protos.dc.v1.tensor_pb2 import Tensor

HEADERS_KEPT: Final = 8
"""Clients write a header in one way or another: with the input's name, or without it."""


class KnownHeaders:
    """The headers that inputs of one network had so far, by the payload's length."""

    __slots__ = ("_known", "_shape")

    def __init__(self, signature: Signature) -> None:
        inputs = signature.inputs
        fixed = len(inputs) == 1 and -1 not in inputs[0].shape
        self._shape = inputs[0].shape if fixed else None
        self._known: dict[int, bytes] = {}

    def data(self, payload: bytes) -> bytes | None:
        """The data of a payload whose header is known; None: parse and check it."""
        known = self._known.get(len(payload))
        if known is not None and payload.startswith(known):
            return payload[len(known) :]
        return None

    def learn(self, payload: bytes, tensors: Sequence[Tensor]) -> None:
        """Remember the header of a payload that was parsed and passed the network's check."""
        if self._shape is None or len(tensors) != 1 or len(self._known) >= HEADERS_KEPT:
            return
        tensor = tensors[0]
        size = len(tensor.data)
        if tuple(tensor.shape) != self._shape or not size:
            return
        prefix = payload_prefix(tensor.name, tensor.datatype, self._shape, size)
        # Only the usual order of fields: there, what follows the header is the data.
        if len(prefix) + size == len(payload) and payload.startswith(prefix):
            self._known[len(payload)] = prefix
