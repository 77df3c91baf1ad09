"""Computing elsewhere: inputs go out as they come, and answers leave in order.

The worker waits for none of it: a lane has as many inputs under way as its model takes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final, Protocol

from ann_workers.backends.remote import Part, RemoteModel, RemoteState
from ann_workers.hosting.claims import Claims, ClaimsHost
from ann_workers.hosting.engine import Engine
from ann_workers.hosting.flights import Call, Flight
from ann_workers.hosting.frames import answer_too_large
from ann_workers.hosting.outbox import Outbox
from ann_workers.hosting.session import HeldSession, Lane
from ann_workers.hosting.work import prepare
from foundation.clock import Monotonic, monotonic
from foundation.errors import (
    CallerError,
    DirectContactError,
    InternalError,
    LimitExceeded,
    Unavailable,
)

logger = logging.getLogger(__name__)

TOGETHER: Final = 16
"""Inputs of one stateless session under way: answers that overtake another one wait in memory."""
PAUSE_S: Final = 0.05
PAUSE_LONGEST_S: Final = 0.5
ABANDONED_S: Final = 120.0
"""How long the outcome of an input that was given up is waited for, before it is cancelled."""


class RemoteHost(ClaimsHost, Protocol):
    """What is needed of the host."""

    name: str
    engine: Engine
    outbox: Outbox

    def answered(self, session: HeldSession) -> None:
        """The session has new outputs."""

    async def hand_over(self, session: HeldSession, target: str) -> None:
        """Give the session to a worker, which may be this one."""


class Remote:
    """Sends the inputs of sessions whose model is elsewhere.

    Args:
        host: owns the sessions.
        timeout_s: an answer that takes longer is given up.
        retry_s: a server that is away is tried again for this long.
        answer_bytes: the largest answer, all its parts together.
        part_bytes: the largest part that can leave.
        observe: is told of each answer: 1, the wait before it was sent, and its duration, in s.
    """

    def __init__(
        self,
        host: RemoteHost,
        *,
        timeout_s: float,
        retry_s: float,
        answer_bytes: int,
        part_bytes: int,
        observe: Callable[[int, float, float], None],
        clock: Monotonic = monotonic,
    ) -> None:
        self._host = host
        self._timeout_s = timeout_s
        self._retry_s = retry_s
        self._answer_bytes = answer_bytes
        self._part_bytes = part_bytes
        self._observe = observe
        self._clock = clock
        self._claims = Claims(host, on_written=self._send, on_closed=self._drop)
        self._flights: dict[HeldSession, Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Send nothing more, and wait for nothing."""
        self._claims.close()
        for task in self._tasks:
            task.cancel()

    @property
    def under_way(self) -> int:
        """Inputs that were sent and not answered."""
        return sum(len(flight.calls) for flight in self._flights.values())

    # ------------------------------------------------------------ what the host and engine tell

    def take(self, session: HeldSession) -> None:
        """The session has something to send."""
        session.scheduled = True
        session.lane.ready.append(session)
        self._fill(session.lane)

    def cancel(self, session: HeldSession, seq: int) -> None:
        """An answer is not wanted any more. One that may change a state is waited for."""
        flight = self._flights.get(session)
        if flight is None or flight.stateful:
            return
        for call in flight.calls:
            if call.work.seq == seq and session.machine.may_drop(seq):
                session.cancelled.discard(seq)
                call.cancel()

    def forget(self, session: HeldSession) -> None:
        """The session is not held any more. What may change a state is waited for."""
        flight = self._flights.get(session)
        if flight is not None and not flight.stateful:
            for call in flight.calls:
                call.cancel()

    def release(self, model: RemoteModel, state: RemoteState) -> None:
        """A state is not used any more."""
        self._spawn(model.release(state))

    # ------------------------------------------------------------ sending

    def _fill(self, lane: Lane) -> None:
        """Send what waits, as far as there is room."""
        ready = lane.ready
        for _ in range(len(ready)):
            room = lane.model.signature.max_batch - lane.under_way
            if room <= 0:
                return
            session = ready.popleft()
            session.scheduled = False
            stopped = session.closed or session.paused or session.lane is not lane
            flight = None if stopped else self._gather(session, room)
            if flight is None:
                self._host.engine.schedule(session)
                continue
            lane.under_way += len(flight.calls)
            if flight.continues:
                session.scheduled = True
                self._claims.write(flight)
            else:
                self._send(flight)

    def _gather(self, session: HeldSession, room: int) -> Flight | None:
        model = session.lane.remote
        assert model is not None  # noqa: S101  # the engine hands on no others
        most = 1 if model.signature.stateful else min(room, TOGETHER)
        # A command comes between two inputs; 0: before the next one.
        stop_at = session.commands[0].command.after_seq if session.commands else None
        calls: list[Call] = []
        while session.queue and len(calls) < most:
            item, at = session.queue[0]
            if stop_at is not None and item.seq > stop_at:
                break
            work = prepare(session, session.queue.popleft(), train=False, clock=self._clock)
            calls.append(Call(work, *self._limit(session, item.seq, item.budget_ms, at)))
        return Flight(session, model, calls) if calls else None

    def _limit(
        self, session: HeldSession, seq: int, budget_ms: int, at: float
    ) -> tuple[float, DirectContactError]:
        left_s = budget_ms / 1000 - (self._clock() - at)
        droppable = session.machine.may_drop(seq) and not session.lane.model.signature.stateful
        if budget_ms and droppable and left_s < self._timeout_s:
            error = f"input {seq}: budget_ms is {budget_ms}, the answer took longer"
            return left_s, CallerError(error, code="deadline_exceeded")
        error = f"input {seq}: the answer took longer than {self._timeout_s:g} s"
        return self._timeout_s, Unavailable(error, code="compute_timeout")

    def _drop(self, flight: Flight) -> None:
        flight.lane.under_way -= len(flight.calls)
        self._fill(flight.lane)

    def _send(self, flight: Flight) -> None:
        session = flight.session
        session.scheduled = False
        session.busy = True
        self._flights[session] = flight
        for call in flight.calls:
            self._spawn(self._carry(flight, call))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._host.background.spawn(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ------------------------------------------------------------ one input

    async def _carry(self, flight: Flight, call: Call) -> None:
        call.sent_at = self._clock()
        error = call.work.error or await self._outcome(flight, call)
        stats = self._host.engine.stats
        stats.inputs += 1
        if call.task is not None:
            stats.batches += 1
            self._observe(1, call.sent_at - call.work.at, self._clock() - call.sent_at)
            if flight.stateful:
                self._settle(flight, call, error)
        stats.failed += error is not None and not call.unanswered
        call.error = error
        call.ended = True
        self._deliver(flight)
        if flight.landed:
            self._land(flight)

    async def _outcome(self, flight: Flight, call: Call) -> DirectContactError | None:
        task = call.task = asyncio.get_running_loop().create_task(self._try(flight, call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait((task,), timeout=call.limit_s)
        if call.complete:
            return None
        if not task.done():
            call.given_up = True
            if flight.stateful:
                self._spawn(self._await_outcome(flight, call))
            else:
                task.cancel()
            return call.overdue
        if task.cancelled():
            return CallerError(f"input {call.work.seq} was cancelled", code="cancelled")
        error = task.exception()
        if isinstance(error, DirectContactError):
            return error
        logger.error("the backend failed", exc_info=error)
        return InternalError("the computation failed", code="compute_failed")

    async def _try(self, flight: Flight, call: Call) -> None:
        lane, pause_s = flight.lane, PAUSE_S
        while True:
            try:
                await self._read(flight, call)
            except Unavailable:
                now = self._clock()
                lane.away_since = lane.away_since or now
                # What may have changed a state, or was answered in part, is not sent again.
                certain = not call.answered and not (flight.stateful and call.state.first)
                if not certain or now - lane.away_since >= self._retry_s:
                    raise
                await asyncio.sleep(pause_s)
                if call.given_up:
                    raise
            else:
                lane.away_since = 0.0
                return
            if flight.stateful:
                flight.session.state = call.work.state = flight.model.new_state()
            pause_s = min(2 * pause_s, PAUSE_LONGEST_S)

    async def _read(self, flight: Flight, call: Call) -> None:
        refused: DirectContactError | None = None
        async with aclosing(flight.model.compute(call.work)) as parts:
            async for part in parts:
                too_large = self._too_large(call, len(part.payload))
                if too_large is not None:
                    refused = too_large
                    if not flight.stateful:
                        break
                elif refused is None:
                    call.take(part)
                    self._deliver(flight)
        if refused is not None:
            raise refused
        call.take(Part(b"", last=True))
        self._deliver(flight)

    def _too_large(self, call: Call, part_bytes: int) -> LimitExceeded | None:
        seq = call.work.seq
        if part_bytes > self._part_bytes:
            return answer_too_large(seq, part_bytes, self._part_bytes)
        if call.answer_bytes + part_bytes > self._answer_bytes:
            return LimitExceeded(
                f"input {seq}: an answer may have {self._answer_bytes} bytes, "
                "this one has more (DC_WORKER_REMOTE_ANSWER_BYTES)",
                code="answer_too_large",
            )
        return None

    def _deliver(self, flight: Flight) -> None:
        flight.deliver(self._clock)
        if not flight.session.closed:
            self._tell(flight.session)

    def _tell(self, session: HeldSession) -> None:
        self._host.answered(session)
        # What came in one turn leaves at its end.
        self._host.outbox.mark(session)

    # ------------------------------------------------------------ what follows

    def _settle(self, flight: Flight, call: Call, error: DirectContactError | None) -> None:
        """What is certain of the state after an input of a stateful session."""
        session, state, seq = flight.session, call.state, call.work.seq
        if error is None:
            session.state = replace(state, first=state.first or seq, sending=0)
        elif call.given_up or isinstance(error, Unavailable):
            if not state.first:
                session.state = flight.model.new_state()
                return
            flight.broken = True
            call.unanswered = not call.given_up and not call.answered
        elif state.first:
            session.state = replace(state, sending=0)
        else:
            # Whether the server began it is not known: the next input begins another one.
            session.state = flight.model.new_state()
            self.release(flight.model, replace(state, first=seq))

    def _land(self, flight: Flight) -> None:
        session, lane = flight.session, flight.lane
        del self._flights[session]
        session.busy = False
        lane.under_way -= len(flight.calls)
        if session.closed:
            if flight.stateful and not flight.broken:
                self.release(flight.model, flight.state)
        elif flight.broken:
            session.standing = True
            self._spawn(self._give_state_up(session))
        else:
            self._tell(session)
            self._host.engine.schedule(session)
        self._fill(lane)

    async def _give_state_up(self, session: HeldSession) -> None:
        """Have the session taken anew: its owner finds what is uncertain, and tells LOST."""
        while not session.closed:
            try:
                await self._host.hand_over(session, self._host.name)
            except DirectContactError as error:
                logger.warning("%s: %s", error.code, error.message)
                await asyncio.sleep(PAUSE_LONGEST_S)

    async def _await_outcome(self, flight: Flight, call: Call) -> None:
        """Nothing else uses the state: it is freed when the server is done with it."""
        task, state = call.task, call.state
        assert task is not None  # noqa: S101  # it was sent
        await asyncio.wait((task,), timeout=ABANDONED_S)
        if not task.done():
            task.cancel()
        elif not task.cancelled():
            task.exception()
        await flight.model.release(replace(state, first=state.first or call.work.seq))
