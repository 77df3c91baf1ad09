from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.varints import read_varint, varint
from protos.dc.v1.stream_pb2 import Ping


@given(st.integers(1, 2**64 - 1) | st.integers(1, 1 << 22))
@example((1 << 14) - 1)
@example(1 << 14)
@example((1 << 21) - 1)
@example(1 << 21)
def test_varint_is_what_protobuf_writes(value: int) -> None:
    assert b"\x08" + varint(value) == Ping(nonce=value).SerializeToString()


@given(st.integers(0, 2**64 - 1) | st.integers(0, 1 << 22), st.binary(max_size=3))
def test_varint_is_read_when_it_was_written(value: int, more: bytes) -> None:
    data = b"\x08" + varint(value)
    assert read_varint(data + more, 1) == (value, len(data))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9, b"\xff" * 11])
def test_varint_is_refused_when_it_does_not_end(data: bytes) -> None:
    with pytest.raises(IndexError):
        read_varint(data, 0)
