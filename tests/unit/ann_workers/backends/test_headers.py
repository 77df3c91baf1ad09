"""Inputs recognised by their header."""

from __future__ import annotations

import pytest

from ann_workers.backends.headers import HEADERS_KEPT, KnownHeaders
from ann_workers.backends.port import Signature, TensorSpec
from protos.dc.v1.tensor_pb2 import Payload, Tensor


def headers(*shape: int) -> KnownHeaders:
    spec = TensorSpec("input", "FP32", shape)
    return KnownHeaders(Signature((spec,), (), stateful=False, trainable=False, max_batch=1))


def payload(data: bytes, shape: tuple[int, ...] = (2,), name: str = "") -> bytes:
    tensor = Tensor(name=name, datatype="FP32", shape=shape, data=data)
    return Payload(tensors=[tensor]).SerializeToString()


def learn(known: KnownHeaders, serialized: bytes) -> None:
    known.learn(serialized, Payload.FromString(serialized).tensors)


def test_data_is_found_when_the_header_was_seen() -> None:
    known = headers(2)
    assert known.data(payload(b"abcdefgh")) is None
    learn(known, payload(b"abcdefgh"))
    assert known.data(payload(b"12345678")) == b"12345678"


@pytest.mark.parametrize(
    "other",
    [
        payload(b"12345678", (1, 2)),
        payload(b"12345678", (3,)),
        payload(b"12345678", name="x"),
        payload(b"1234567"),
        payload(b"12345678").replace(b"FP32", b"FP16"),
    ],
)
def test_data_is_not_found_when_the_header_differs(other: bytes) -> None:
    known = headers(2)
    learn(known, payload(b"abcdefgh"))
    assert known.data(other) is None


def test_nothing_is_learned_when_the_shape_is_not_the_networks_own() -> None:
    known = headers(2)
    batch = payload(b"abcdefgh" * 2, (2, 2))
    learn(known, batch)
    assert known.data(batch) is None


def test_nothing_is_learned_when_the_data_is_not_the_last_field() -> None:
    known = headers(2)
    # The same tensor, its datatype written behind its data.
    tensor = Tensor(shape=[2], data=b"abcdefgh").SerializeToString() + b"\x12\x04FP32"
    odd = b"\x0a" + bytes([len(tensor)]) + tensor
    assert Payload.FromString(odd).tensors[0].datatype == "FP32"
    learn(known, odd)
    assert known.data(odd) is None


def test_nothing_is_learned_when_an_axis_is_free() -> None:
    known = headers(-1)
    learn(known, payload(b"abcdefgh"))
    assert known.data(payload(b"abcdefgh")) is None


def test_headers_are_bounded_when_clients_write_many() -> None:
    known = headers(2)
    written = [payload(b"abcdefgh", name="n" * size) for size in range(HEADERS_KEPT + 2)]
    for one in written:
        learn(known, one)
    assert sum(known.data(one) is not None for one in written) == HEADERS_KEPT
