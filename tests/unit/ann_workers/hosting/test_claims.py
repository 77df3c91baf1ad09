from __future__ import annotations

from ann_workers.backends.remote import RemoteState
from ann_workers.backends.triton.model import TritonModel
from ann_workers.hosting import claims
from ann_workers.hosting.session import HeldSession, KeptOutput, Lane
from ann_workers.session import WorkerMachine
from registry.live import SessionRecord
from registry.networks.triton.spec import TritonSpec


def recovered(state: RemoteState, computed_seq: int) -> tuple[RemoteState, tuple[int, int]]:
    """The state that the next owner goes on with, and the range that it lost."""
    spec = TritonSpec(
        name="n", url="grpc://127.0.0.1:8001", model="m", version="1", inputs=(), outputs=(),
        stateful=True,
    )  # fmt: skip
    record = SessionRecord("ses_1", "t", "n", 1, "p", stateful=True)
    machine: WorkerMachine[KeptOutput] = WorkerMachine(
        stateful=True, hold=False, window_inputs=8, window_bytes=1 << 20
    )
    machine.restore(seq=computed_seq, acked=(computed_seq + 1, 0), lost=(0, 0), outputs=())
    lane = Lane(TritonModel(spec, requests=1))
    session = HeldSession(record, epoch=2, lane=lane, machine=machine)
    session.state = state
    claims.recover(session)
    assert isinstance(session.state, RemoteState)
    return session.state, machine.lost


def test_state_goes_on_when_nothing_was_under_way() -> None:
    state = RemoteState("7", first=2)
    assert recovered(state, 5) == (state, (0, 0))


def test_state_is_lost_when_an_input_was_under_way() -> None:
    state, lost = recovered(RemoteState("7", first=2, sending=6), 5)
    assert (state.key != "7", state.first, state.sending) == (True, 0, 0)
    assert lost == (2, 5)


def test_key_is_another_one_when_nothing_is_known_to_have_been_sent_under_it() -> None:
    # The first input of a key is not written down: an owner that stood still may send it yet, and
    # would begin the state anew under the next owner's inputs.
    state, lost = recovered(RemoteState("7"), 5)
    assert (state.key != "7", state.first, state.sending) == (True, 0, 0)
    assert lost == (0, 0)
