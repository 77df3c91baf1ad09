from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import cast

from ann_workers.backends.remote import RemoteState
from ann_workers.backends.triton.model import TritonModel
from ann_workers.hosting import claims
from ann_workers.hosting.claims import Claims, ClaimsHost
from ann_workers.hosting.flights import Call, Flight
from ann_workers.hosting.session import HeldSession, KeptOutput, Lane
from ann_workers.hosting.work import Work
from ann_workers.session import WorkerMachine
from foundation.background import Background
from foundation.errors import Unavailable
from foundation.pulse import Pulse
from registry.live import SessionRecord
from registry.networks.triton.spec import TritonSpec
from tests.support.conditions import until


def held(name: str, state: RemoteState, computed_seq: int) -> HeldSession:
    spec = TritonSpec(
        name="n", url="grpc://127.0.0.1:8001", model="m", version="1", inputs=(), outputs=(),
        stateful=True,
    )  # fmt: skip
    record = SessionRecord(name, "t", "n", 1, "p", stateful=True)
    machine: WorkerMachine[KeptOutput] = WorkerMachine(
        stateful=True, hold=False, window_inputs=8, window_bytes=1 << 20
    )
    machine.restore(seq=computed_seq, acked=(computed_seq + 1, 0), lost=(0, 0), outputs=())
    lane = Lane(TritonModel(spec, requests=1))
    session = HeldSession(record, epoch=2, lane=lane, machine=machine)
    session.state = state
    return session


def recovered(state: RemoteState, computed_seq: int) -> tuple[RemoteState, tuple[int, int]]:
    """The state that the next owner goes on with, and the range that it lost."""
    session = held("ses_1", state, computed_seq)
    claims.recover(session)
    assert isinstance(session.state, RemoteState)
    return session.state, session.machine.lost


def flight(name: str) -> Flight:
    """An input that waits for its claim."""
    session = held(name, RemoteState("7", first=1), 1)
    session.scheduled = True
    call = Call(Work(session, 2, 0.0), 1.0, Unavailable("overdue"))
    assert session.lane.remote is not None
    return Flight(session, session.lane.remote, [call])


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


class Written:
    """A store of checkpoints that tells whose were written."""

    def __init__(self) -> None:
        self.sessions: list[HeldSession] = []

    async def write(self, sessions: Iterable[HeldSession]) -> bool:
        self.sessions += sessions
        return True


async def test_nothing_is_claimed_when_the_session_stands_to_be_handed_over() -> None:
    host = SimpleNamespace(checkpoints=Written(), boundary=Pulse(), background=Background())
    sent: list[Flight] = []
    dropped: list[Flight] = []
    writer = Claims(cast("ClaimsHost", host), on_written=sent.append, on_closed=dropped.append)
    drained, other = flight("ses_1"), flight("ses_2")
    drained.session.standing = True
    writer.write(drained)
    writer.write(other)
    await until(lambda: sent == [other])
    assert host.checkpoints.sessions == [other.session]
    # Handed over without the claim, its next owner goes on with the same state.
    drained.session.closed = True
    host.boundary.beat()
    await until(lambda: dropped == [drained])
    assert sent == [other]
