"""What a checkpoint holds, and that a fresh session goes on from there."""

from __future__ import annotations

import numpy as np
import pytest

from ann_workers.backends.registry import find_backend
from ann_workers.hosting import checkpoints
from ann_workers.hosting.frames import output_frame
from ann_workers.hosting.session import HeldSession, KeptOutput, Lane
from ann_workers.session import WorkerMachine
from protos.dc.internal.v1.envelope_pb2 import Checkpoint
from registry.live import SessionRecord

GRU = {
    "name": "gru",
    "input": {"datatype": "FP32", "shape": [2]},
    "layers": [{"type": "gru", "units": 3}],
    "seed": 1,
}


def fresh_session() -> HeldSession:
    lane = Lane(find_backend("numpy").load(GRU, b""))
    machine: WorkerMachine[KeptOutput] = WorkerMachine(
        stateful=True, hold=False, window_inputs=64, window_bytes=1 << 20
    )
    record = SessionRecord("s", "tenant", "gru", 1, "default", stateful=True)
    return HeldSession(record, epoch=7, lane=lane, machine=machine)


def answer(session: HeldSession, seq: int, payload: bytes) -> None:
    """Let it compute an input."""
    frame = output_frame(seq, payload, queue_us=1, compute_us=2)
    session.machine.accept(seq)
    session.machine.computed(seq, 0, True, KeptOutput(seq, 0, True, frame))


@pytest.mark.parametrize("size", [0, 1, 300, 70_000])
def test_session_goes_on_where_it_was_when_it_is_restored(size: int) -> None:
    session = fresh_session()
    session.state = (np.array([0.25, -1, 3], dtype=np.float32),)
    session.paused = True
    for seq in range(1, 6):
        answer(session, seq, bytes([seq]) * size)
    session.machine.acknowledge((3, 0))
    seq, data = checkpoints.encode(session)

    again = fresh_session()
    checkpoints.restore(again, checkpoints.decode(data))

    assert seq == again.machine.computed_seq == 5
    assert again.machine.acked == (3, 0)
    assert again.machine.unacknowledged() == session.machine.unacknowledged()
    assert [kept[0] for kept in again.machine.unacknowledged()] == [3, 4, 5]
    np.testing.assert_array_equal(again.state[0], session.state[0])
    assert again.paused


def test_checkpoint_is_what_protobuf_would_write_when_its_outputs_are_joined() -> None:
    session = fresh_session()
    empty = Checkpoint.FromString(checkpoints.encode(session)[1])
    assert not empty.HasField("outputs")
    for seq in (1, 2):
        answer(session, seq, b"x" * 200)
    whole = Checkpoint.FromString(checkpoints.encode(session)[1])
    assert [(output.seq, output.payload) for output in whole.outputs.outputs] == [
        (1, b"x" * 200),
        (2, b"x" * 200),
    ]
    assert whole.ByteSize() == len(checkpoints.encode(session)[1])
