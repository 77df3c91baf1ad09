"""Outgoing payloads, built from bytes.

The outputs of a network have the same header again and again, and serializing each through message
objects would cost more than computing it. So protobuf makes the header once, and each output
appends its data: `data` is the last field of `Tensor`, and fields are written in order.
"""

from __future__ import annotations

from functools import lru_cache

from protos.dc.v1.tensor_pb2 import Payload, Tensor


@lru_cache(maxsize=1024)
def payload_prefix(name: str, datatype: str, shape: tuple[int, ...], data_bytes: int) -> bytes:
    """What comes before the data in a serialized payload of one tensor.

    Prefix and data make a `Payload`; so do several of these pairs one after another, since
    `tensors` is repeated.
    """
    tensor = Tensor(name=name, datatype=datatype, shape=shape, data=bytes(data_bytes))
    serialized = Payload(tensors=[tensor]).SerializeToString()
    return serialized[: len(serialized) - data_bytes]
