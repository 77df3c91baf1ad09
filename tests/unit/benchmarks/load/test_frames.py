from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Opcode
from websockets.protocol import SERVER, Protocol

from benchmarks.load.frames import (
    MAX_SEQ,
    InputMessages,
    acknowledgement,
    varint,
    websocket_message,
)
from protos.dc.v1.stream_pb2 import ClientFrame

SEQUENCES = st.one_of(
    st.integers(1, MAX_SEQ - 64),
    st.sampled_from([1, 126, 127, 128, 16383, 16384, (1 << 21) - 1, 1 << 21]),
)


def received(data: bytes) -> list[bytes]:
    """What a WebSocket server makes of bytes on its socket."""
    protocol = Protocol(SERVER, max_size=None)
    protocol.receive_data(data)
    frames = protocol.events_received()
    assert all(frame.opcode is Opcode.BINARY for frame in frames)  # type: ignore[attr-defined]
    return [bytes(frame.data) for frame in frames]  # type: ignore[attr-defined]


@given(seq=SEQUENCES, size=st.sampled_from([0, 1, 100, 118, 119, 300, 70_000]))
def test_input_message_is_what_protobuf_and_websocket_say_when_the_number_grows(
    seq: int, size: int
) -> None:
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    (message,) = received(InputMessages(payload, websocket=True).one(seq))
    expected = ClientFrame()
    expected.inputs.add(seq=seq, payload=payload)
    assert ClientFrame.FromString(message) == expected
    assert InputMessages(payload, websocket=False).one(seq) == message


@given(first=SEQUENCES, count=st.integers(1, 40), acknowledged=st.integers(0, MAX_SEQ))
def test_bundle_carries_inputs_and_acknowledgement_when_they_leave_together(
    first: int, count: int, acknowledged: int
) -> None:
    messages = InputMessages(b"payload", websocket=True)
    (message,) = received(messages.bundle(first, count, acknowledged))
    frame = ClientFrame.FromString(message)
    assert [item.seq for item in frame.inputs] == list(range(first, first + count))
    assert {item.payload for item in frame.inputs} == {b"payload"}
    assert frame.HasField("ack") == bool(acknowledged)
    assert frame.ack.seq == acknowledged
    assert frame.ack.last == bool(acknowledged)


@given(number=st.integers(0, 1 << 40))
def test_varint_is_protobufs_when_a_number_is_long(number: int) -> None:
    body = b"\x08" + varint(number)
    frame = ClientFrame.FromString(b"\x32" + varint(len(body)) + body)
    assert frame.ping.nonce == number


def test_messages_stay_apart_when_they_leave_in_one_write() -> None:
    messages = InputMessages(b"x" * 200, websocket=True)
    data = b"".join([messages.one(1), messages.one(2), websocket_message(acknowledgement(1))])
    first, second, third = map(ClientFrame.FromString, received(data))
    assert (first.inputs[0].seq, second.inputs[0].seq, third.ack.seq) == (1, 2, 1)
