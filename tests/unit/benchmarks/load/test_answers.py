from __future__ import annotations

import pytest

from benchmarks.load.answers import outputs_of
from protos.dc.v1.stream_pb2 import Error, Output, Progress, ServerFrame


@pytest.mark.parametrize("size", [0, 300, 20_000, 3_000_000])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_outputs_are_counted_when_they_are_of_any_size(size: int, count: int) -> None:
    outputs = [
        Output(seq=200 + i, last=True, payload=b"\x0a" * size, queue_us=i, compute_us=7)
        for i in range(count)
    ]
    data = ServerFrame(outputs=outputs).SerializeToString()
    assert outputs_of(data) == (count, 199 + count, False)


@pytest.mark.parametrize("size", [0, 20_000])
def test_outputs_are_told_as_failed_when_the_last_one_is(size: int) -> None:
    failed = Output(seq=2, last=True, error=Error(code="bad_input", message="x" * 20_000))
    data = ServerFrame(outputs=[Output(seq=1, payload=bytes(size)), failed]).SerializeToString()
    assert outputs_of(data) == (2, 2, True)


def test_outputs_are_counted_when_a_large_frame_holds_more() -> None:
    frame = ServerFrame(
        outputs=[Output(seq=5, payload=bytes(40_000))], progress=Progress(durable_seq=3)
    )
    assert outputs_of(frame.SerializeToString()) == (1, 5, False)


def test_frame_has_no_outputs_when_it_tells_something_else() -> None:
    assert outputs_of(ServerFrame(progress=Progress(durable_seq=3)).SerializeToString())[0] == 0
