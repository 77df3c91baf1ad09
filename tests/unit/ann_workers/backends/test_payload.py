"""Payloads from bytes are those that protobuf would write."""

from __future__ import annotations

import pytest

from ann_workers.backends.payload import payload_prefix
from protos.dc.v1.tensor_pb2 import Payload, Tensor


@pytest.mark.parametrize("size", [0, 1, 4, 40, 127, 128, 300, 16_384, 70_000])
@pytest.mark.parametrize("shape", [(), (1,), (10,), (3, 4), (4096, 300)])
def test_payload_equals_protobuf_s_when_made_from_its_prefix(
    size: int, shape: tuple[int, ...]
) -> None:
    data = bytes(i % 251 for i in range(size))
    tensor = Tensor(name="output", datatype="FP32", shape=shape, data=data)
    made = payload_prefix("output", "FP32", shape, size) + data
    assert made == Payload(tensors=[tensor]).SerializeToString()


def test_payload_has_both_tensors_when_two_follow_each_other() -> None:
    made = payload_prefix("a", "INT8", (2,), 2) + b"xy" + payload_prefix("b", "INT8", (), 1) + b"z"
    assert [(t.name, t.data) for t in Payload.FromString(made).tensors] == [
        ("a", b"xy"),
        ("b", b"z"),
    ]
