"""Outputs written by hand are what protobuf writes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ann_workers.hosting.frames import answer_frame, output_frame, output_times
from protos.dc.v1.stream_pb2 import Output, ServerFrame

SEQ = st.integers(1, 2**64 - 1) | st.integers(1, 20_000)
UINT32 = st.integers(0, 2**32 - 1) | st.integers(0, 20_000)


@given(SEQ, st.binary(max_size=300), UINT32, UINT32, UINT32, st.booleans())
def test_output_frame_has_the_bytes_of_protobuf(
    seq: int, payload: bytes, queue_us: int, compute_us: int, part: int, last: bool
) -> None:
    output = Output(
        seq=seq, part=part, last=last, payload=payload, queue_us=queue_us, compute_us=compute_us
    )
    frame = output_frame(
        seq, payload, queue_us=queue_us, compute_us=compute_us, part=part, last=last
    )
    assert frame == ServerFrame(outputs=[output]).SerializeToString()


@given(SEQ, st.binary(min_size=1, max_size=300), UINT32, UINT32)
def test_answer_frame_is_the_output_frame_of_a_whole_answer(
    seq: int, payload: bytes, queue_us: int, compute_us: int
) -> None:
    frame = answer_frame(seq, payload, output_times(queue_us, compute_us))
    assert frame == output_frame(seq, payload, queue_us=queue_us, compute_us=compute_us)


def test_answer_frame_decodes_when_the_payload_is_empty() -> None:
    (output,) = ServerFrame.FromString(answer_frame(3, b"", output_times(1, 2))).outputs
    assert output == Output(seq=3, last=True, queue_us=1, compute_us=2)


def test_output_frames_merge_when_they_are_joined() -> None:
    joined = b"".join(output_frame(seq, b"x", queue_us=1, compute_us=2) for seq in (1, 2, 3))
    assert [output.seq for output in ServerFrame.FromString(joined).outputs] == [1, 2, 3]


def test_output_frame_keeps_within_the_field_when_a_wait_was_absurd() -> None:
    frame = output_frame(1, b"", queue_us=-5, compute_us=2**40)
    output = ServerFrame.FromString(frame).outputs[0]
    assert output.queue_us == 0
    assert output.compute_us == 2**32 - 1
