"""What a stream does with the frames of its client."""

from __future__ import annotations

import pytest

from direct_contact.gateway.hub import Hub
from direct_contact.gateway.stream import Stream
from protos.dc.v1.stream_pb2 import ClientFrame, Input
from registry.live import Attachment, SessionRecord

RECORD = SessionRecord("s", "tenant", "digits", 1, "default", stateful=True)
GARBAGE = b"\xff"
INPUT = ClientFrame(inputs=[Input(seq=1)]).SerializeToString()


@pytest.fixture
async def stream(hub: Hub) -> Stream:
    """One whose worker serves it, and which took no input yet."""
    stream = Stream(hub, Attachment(RECORD, 1, "token", "worker", 1, "", first=True))
    stream.serving.worker = "worker"
    stream.machine.hello(seq=0, part=0, last=False, oldest_retained_seq=0, epoch=0)
    stream.machine.attached(
        epoch=1, wanted_seq=1, durable_seq=0, window_seq=8, window_bytes=1024, lost_to=0
    )
    return stream


async def test_stream_takes_an_input_when_its_worker_serves_it(stream: Stream) -> None:
    stream.messages([INPUT])
    assert stream.machine.next_seq == 2


async def test_stream_takes_nothing_more_when_an_earlier_frame_of_the_same_read_failed(
    stream: Stream,
) -> None:
    stream.messages([GARBAGE, INPUT])
    assert stream.machine.next_seq == 1
