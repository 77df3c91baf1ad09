"""What a session has under way elsewhere: each input with the parts of its answer, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final, cast

from ann_workers.backends.remote import Part, RemoteModel, RemoteState
from ann_workers.hosting.frames import DROPPED_CODES, failure_frame, output_frame
from ann_workers.hosting.session import HeldSession, KeptOutput, Lane
from ann_workers.hosting.work import Work
from foundation.clock import Monotonic
from foundation.errors import Conflict, DirectContactError

PART_BYTES: Final = 256
"""What a part of an answer takes beside its bytes, about."""


@dataclass(slots=True, eq=False)
class Call:
    """One input, and the parts of its answer that came.

    Args:
        work: the input, or what is wrong with it.
        limit_s: how long the answer may take.
        overdue: what the input is told then.
    """

    work: Work
    limit_s: float
    overdue: DirectContactError
    task: asyncio.Task[None] | None = None
    """Takes the answer from the server."""
    parts: deque[Part] = field(default_factory=deque)
    """Those that wait for the answers before this one."""
    answer_bytes: int = 0
    complete: bool = False
    """The last part came."""
    given_up: bool = False
    """What still comes is not wanted."""
    unanswered: bool = False
    """It ended without an answer: the session's next owner sends it again."""
    error: DirectContactError | None = None
    ended: bool = False
    next_part: int = 0
    sent_at: float = 0.0

    def cancel(self) -> None:
        """The answer is not wanted any more."""
        if self.task is not None:
            self.task.cancel()

    def take(self, part: Part) -> None:
        """A part came."""
        if not self.given_up and not self.complete:
            self.parts.append(part)
            self.answer_bytes += len(part.payload) + PART_BYTES
            self.complete = part.last

    @property
    def state(self) -> RemoteState:
        """What it was sent with, where the session is stateful."""
        return cast("RemoteState", self.work.state)

    @property
    def answered(self) -> bool:
        """A part of the answer came: another try may not give the same."""
        return bool(self.next_part or self.parts)


class Flight:
    """One session's inputs under way: one of a stateful session, or several of a stateless one."""

    def __init__(self, session: HeldSession, model: RemoteModel, calls: list[Call]) -> None:
        self.session = session
        self.lane: Lane = session.lane
        self.model = model
        self.calls = calls
        self.broken = False
        """It is not certain any more what the session's state holds."""
        self._head = 0

    @property
    def stateful(self) -> bool:
        """True where the server keeps a state."""
        return self.model.signature.stateful

    @property
    def state(self) -> RemoteState:
        """The session's, where it is stateful."""
        return cast("RemoteState", self.session.state)

    @property
    def continues(self) -> bool:
        """True when a state that holds earlier inputs is about to get one more."""
        return self.stateful and bool(self.state.first) and self.calls[0].work.error is None

    @property
    def landed(self) -> bool:
        """True when nothing is under way any more."""
        return self._head == len(self.calls)

    def deliver(self, clock: Monotonic) -> None:
        """Hand the outputs whose turn has come to the session."""
        while not self.landed:
            call = self.calls[self._head]
            while call.parts:
                self._show(call, call.parts.popleft(), clock())
            if not call.ended:
                return
            if call.error is not None and not call.unanswered:
                self._refuse(call, call.error)
            self._head += 1

    def _show(self, call: Call, part: Part, now: float) -> None:
        work = call.work
        machine = self.session.machine
        fewer = part.last and call.next_part < machine.owed_part(work.seq)
        frame = output_frame(
            work.seq,
            part.payload,
            queue_us=int((call.sent_at - work.at) * 1e6),
            compute_us=int((now - call.sent_at) * 1e6),
            part=call.next_part,
            last=part.last and not fewer,
        )
        self._keep(call, frame, last=part.last and not fewer)
        if fewer:
            error = Conflict(
                f"input {work.seq} was computed again, and its answer has fewer parts than were "
                "shown before",
                code="answer_changed",
            )
            self._refuse(call, error)

    def _refuse(self, call: Call, error: DirectContactError) -> None:
        """End the answer with an error, behind the parts that the client may have."""
        seq = call.work.seq
        while call.next_part < self.session.machine.owed_part(seq):
            empty = output_frame(
                seq, b"", queue_us=0, compute_us=0, part=call.next_part, last=False
            )
            self._keep(call, empty, last=False)
        frame = failure_frame(seq, error, part=call.next_part)
        self._keep(call, frame, last=True, dropped=error.code in DROPPED_CODES)

    def _keep(self, call: Call, frame: bytes, *, last: bool, dropped: bool = False) -> None:
        seq, part = call.work.seq, call.next_part
        call.next_part += 1
        if not self.session.closed:
            output = KeptOutput(seq, part, last, frame, dropped)
            self.session.machine.computed(seq, part, last, output)
