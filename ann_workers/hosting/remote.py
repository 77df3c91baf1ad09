"""Computing elsewhere: inputs go out as they come, and answers leave in order.

The worker waits for none of it: a lane has as many inputs under way as its model takes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final, Protocol

from ann_workers.backends.remote import RemoteModel, RemoteState
from ann_workers.hosting.calling import AnswerBounds, Calling
from ann_workers.hosting.claims import Claims, ClaimsHost
from ann_workers.hosting.engine import Engine
from ann_workers.hosting.flights import Call, Flight
from ann_workers.hosting.outbox import Outbox
from ann_workers.hosting.session import HeldSession, Lane
from ann_workers.hosting.work import prepare
from foundation.clock import Monotonic, monotonic
from foundation.errors import DirectContactError, Unavailable

logger = logging.getLogger(__name__)

TOGETHER: Final = 16
"""Inputs of one stateless session under way: answers that overtake another one wait in memory."""
RETRY_S: Final = 0.5
"""The pause before a session whose state is uncertain is handed over again."""


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
        bounds: of each answer.
        observe: is told of each answer: 1, the wait before it was sent, and its duration, in s.
    """

    def __init__(
        self,
        host: RemoteHost,
        bounds: AnswerBounds,
        *,
        observe: Callable[[int, float, float], None],
        clock: Monotonic = monotonic,
    ) -> None:
        self._host = host
        self._observe = observe
        self._clock = clock
        self._calling = Calling(host.background, bounds, on_part=self._deliver, clock=clock)
        self._claims = Claims(host, on_written=self._send, on_closed=self._drop)
        self._flights: dict[HeldSession, Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Send nothing more, and wait for nothing."""
        self._claims.close()
        self._calling.close()
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
            item, _ = session.queue[0]
            if stop_at is not None and item.seq > stop_at:
                break
            work = prepare(session, session.queue.popleft(), train=False, clock=self._clock)
            calls.append(self._calling.call(work, item.budget_ms))
        return Flight(session, model, calls) if calls else None

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
        error = call.work.error or await self._calling.outcome(flight, call)
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
                await asyncio.sleep(RETRY_S)
