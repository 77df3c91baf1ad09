from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from broker.varints import varint
from protos.dc.v1.stream_pb2 import Ping


@given(st.integers(1, 2**64 - 1) | st.integers(1, 1 << 22))
@example((1 << 14) - 1)
@example(1 << 14)
@example((1 << 21) - 1)
@example(1 << 21)
def test_varint_is_what_protobuf_writes(value: int) -> None:
    assert b"\x08" + varint(value) == Ping(nonce=value).SerializeToString()
