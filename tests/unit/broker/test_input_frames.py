from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from broker.input_frames import LARGE_BYTES, LargeInputFrame, read_client_frame
from protos.dc.v1.stream_pb2 import Ack, ClientFrame, Input

LARGE = bytes(range(256)) * (LARGE_BYTES // 256)
FIELDS = ("seq", "payload", "target", "budget_ms", "skip")


def same(read: ClientFrame, parsed: ClientFrame) -> bool:
    return read.HasField("ack") == parsed.HasField("ack") and [
        [getattr(item, name) for name in FIELDS] for item in read.inputs
    ] == [[getattr(item, name) for name in FIELDS] for item in parsed.inputs]


INPUTS = st.builds(
    Input,
    seq=st.integers(0, 2**64 - 1),
    payload=st.sampled_from([b"", b"\x12\x00", LARGE, LARGE * 4 + b"1"]),
    target=st.sampled_from([b"", b"t"]),
    budget_ms=st.sampled_from([0, 0, 7]),
    skip=st.booleans(),
)
FRAMES = st.builds(
    ClientFrame,
    inputs=st.lists(INPUTS, max_size=2),
    ack=st.none() | st.builds(Ack, seq=st.integers(0, 9)),
)


@given(FRAMES)
def test_client_frame_is_what_protobuf_reads(frame: ClientFrame) -> None:
    data = frame.SerializeToString()
    assert same(read_client_frame(data), ClientFrame.FromString(data))


@given(st.integers(1, 2**64 - 1))
def test_client_frame_is_not_parsed_when_it_is_one_large_input(seq: int) -> None:
    frame = ClientFrame(inputs=[Input(seq=seq, payload=LARGE)])
    read = read_client_frame(frame.SerializeToString())
    assert type(read).__name__ == LargeInputFrame.__name__
    assert same(read, frame)


@given(st.binary(max_size=12), st.integers(0, 12), st.integers(0, 20))
def test_client_frame_is_read_or_refused_when_its_bytes_are_damaged(
    noise: bytes, at: int, missing: int
) -> None:
    whole = ClientFrame(inputs=[Input(seq=300, payload=LARGE)]).SerializeToString()
    damaged = whole[:at] + noise + whole[at + len(noise) : len(whole) - missing]
    try:
        expected = ClientFrame.FromString(damaged)
    except DecodeError:
        with pytest.raises(DecodeError):
            read_client_frame(damaged)
        return
    assert same(read_client_frame(damaged), expected)
