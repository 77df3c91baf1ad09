from __future__ import annotations

import pytest

from direct_contact.gateway.runs import runs
from protos.dc.v1.stream_pb2 import Ack, ClientFrame, Input, Ping

LIMIT_BYTES = 64 * 1024


def frame(seq: int, size: int = 10) -> bytes:
    return ClientFrame(inputs=[Input(seq=seq, payload=b"p" * size)]).SerializeToString()


@pytest.mark.parametrize("size", [0, 10, 116, 117, 300, 10_000])
def test_runs_join_inputs_when_each_has_a_frame_of_its_own(size: int) -> None:
    frames = [frame(seq, size) for seq in (1, 2, 3)]
    assert runs(frames, LIMIT_BYTES) == [frames]
    joined = ClientFrame.FromString(b"".join(frames))
    assert [item.seq for item in joined.inputs] == [1, 2, 3]


@pytest.mark.parametrize(
    "other",
    [
        b"",
        b"\x0a",
        b"\x0a\x80",
        frame(2)[:-1],
        frame(2) + b"\x00",
        ClientFrame(ping=Ping(nonce=1)).SerializeToString(),
        ClientFrame(inputs=[Input(seq=2)], ack=Ack(seq=1)).SerializeToString(),
        frame(2) + frame(3),
        frame(2, 20_000),
    ],
)
def test_runs_keep_a_frame_alone_when_it_is_not_one_input(other: bytes) -> None:
    frames = [frame(1), other, frame(4), frame(5)]
    assert runs(frames, LIMIT_BYTES) == [[frame(1)], [other], [frame(4), frame(5)]]


def test_runs_end_when_they_would_pass_the_limit() -> None:
    frames = [frame(seq, 30) for seq in range(1, 6)]
    size = len(frames[0])
    assert runs(frames, 2 * size) == [frames[:2], frames[2:4], frames[4:]]
    assert runs(frames[:2], size - 1) == [[frames[0]], [frames[1]]]
