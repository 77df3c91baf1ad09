"""Continuous batching: while one batch computes, the next one gathers.

Sessions that share a model share a lane. A batch holds at most one input of a stateful session.
Nothing waits for a timer: whatever is ready when the computer is free is the next batch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ann_workers.hosting import careful
from ann_workers.hosting.compute_thread import ComputeThread
from ann_workers.hosting.frames import (
    DROPPED_CODES,
    answer_frame,
    answer_too_large,
    failure_frame,
    output_times,
)
from ann_workers.hosting.session import HeldSession, KeptOutput, Lane
from ann_workers.hosting.work import Work, compute, prepare
from foundation.clock import Monotonic, monotonic
from foundation.errors import InternalError, Unavailable

SMOOTHING: Final = 0.1
"""Weight of the newest batch in the estimate of a lane's cost per input."""


@dataclass(slots=True)
class EngineStats:
    """What was computed, for metrics."""

    inputs: int = 0
    failed: int = 0
    batches: int = 0
    threaded: int = 0


class Engine:
    """Computes for every session of this worker, one batch at a time.

    Args:
        max_batch: inputs in one batch.
        answer_bytes: the largest answer that can leave; a larger one becomes an error.
        inline_s: a batch that is expected to take longer is computed in a thread.
        timeout_s: a computation in the thread that takes longer is given up.
        trials: where is written down what is computed for sessions under suspicion.
        on_answers: is told of each session that has new outputs, after each batch.
        on_batch: is told after that, once.
        on_boundary: is told of a session at an input boundary that has a command waiting.
        on_stuck: is told that a computation was given up: nothing is computed any more. With the
            sessions whose private weights it may have half changed: they are not answered.
        on_fenced: is told of a session that another worker owns.
        on_remote: is told of a session whose model is elsewhere, and that has inputs.
        observe: is told of each batch's size, the longest wait in it and its duration, in s.
    """

    def __init__(
        self,
        *,
        max_batch: int,
        answer_bytes: int,
        inline_s: float,
        timeout_s: float,
        trials: careful.Trials,
        on_answers: Callable[[HeldSession], None],
        on_batch: Callable[[], None],
        on_boundary: Callable[[HeldSession], None],
        on_stuck: Callable[[Sequence[HeldSession]], None],
        on_fenced: Callable[[HeldSession], None],
        on_remote: Callable[[HeldSession], None],
        observe: Callable[[int, float, float], None],
        clock: Monotonic = monotonic,
    ) -> None:
        self.stats = EngineStats()
        self.suspended = False
        self._max_batch = max_batch
        self._answer_bytes = answer_bytes
        self._inline_s = inline_s
        self._timeout_s = timeout_s
        self._trials = trials
        self._on_stuck = on_stuck
        self._on_fenced = on_fenced
        self._on_remote = on_remote
        self._on_answers = on_answers
        self._on_batch = on_batch
        self._on_boundary = on_boundary
        self._observe = observe
        self._clock = clock
        self._turns: deque[Lane] = deque()
        self._computing = False
        self._armed = False
        self._compute_thread = ComputeThread()
        self._careful: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Compute no more."""
        self.suspended = True
        self._compute_thread.close()
        if self._careful is not None:
            self._careful.cancel()

    # ------------------------------------------------------------ scheduling

    def schedule(self, session: HeldSession) -> None:
        """The session may have something to compute, or a command that waits."""
        if session.scheduled or session.busy or session.standing or session.closed:
            return
        if session.commands and self._due(session):
            self._on_boundary(session)
            return
        if session.paused or not session.queue:
            return
        if session.lane.remote is not None:
            self._on_remote(session)
            return
        session.scheduled = True
        lane = session.lane
        if not lane.ready:
            self._turns.append(lane)
        lane.ready.append(session)
        self._arm()

    def resume(self) -> None:
        """Compute again after `suspended` was taken back."""
        self.suspended = False
        self._arm()

    @staticmethod
    def _due(session: HeldSession) -> bool:
        return session.commands[0].command.after_seq <= session.machine.computed_seq

    def _arm(self) -> None:
        if not self._armed and not self._computing:
            self._armed = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._armed = False
        if self._computing or self.suspended:
            return
        while self._turns:
            lane = self._turns.popleft()
            batch = self._gather(lane)
            if lane.ready:
                self._turns.append(lane)
            if batch:
                self._start(lane, batch)
                return

    # ------------------------------------------------------------ gathering

    def _gather(self, lane: Lane) -> list[Work]:
        batch: list[Work] = []
        budget = min(self._max_batch, lane.model.signature.max_batch)
        ready = lane.ready
        stateful = lane.model.signature.stateful
        for _ in range(len(ready)):
            if len(batch) >= budget:
                break
            if ready[0].careful and batch:
                break
            session = ready.popleft()
            session.scheduled = False
            if session.closed or session.paused or session.lane is not lane:
                self.schedule(session)
                continue
            before = len(batch)
            alone = stateful or session.careful
            self._take(session, batch, 1 if alone else budget - before)
            if len(batch) > before:
                session.busy = True
                if session.careful:
                    break
            else:
                self.schedule(session)
        return batch

    def _take(self, session: HeldSession, batch: list[Work], count: int) -> None:
        queue = session.queue
        train = session.training
        if session.commands and self._due(session):
            return
        stop_at = session.commands[0].command.after_seq if session.commands else 0
        while queue and count > 0:
            if stop_at and queue[0][0].seq > stop_at:
                break
            work = prepare(session, queue.popleft(), train, self._clock)
            if work.seq == session.fatal_seq:
                work.error = careful.fatal(work.seq)
            batch.append(work)
            count -= 1

    # ------------------------------------------------------------ computing

    def _start(self, lane: Lane, batch: list[Work]) -> None:
        self._computing = True
        work = [one for one in batch if one.error is None]
        started = self._clock()
        if work and work[0].session.careful:
            self._compute_alone(lane, batch, work[0])
            return
        if len(work) * lane.item_s <= self._inline_s:
            compute(lane.model, work)
            self._finish(lane, batch, len(work), started)
            return
        self._compute_in_thread(
            lane, batch, work, lambda: self._finish(lane, batch, len(work), started)
        )

    def _compute_in_thread(
        self, lane: Lane, batch: list[Work], work: list[Work], done: Callable[[], None]
    ) -> None:
        self.stats.threaded += 1
        loop = asyncio.get_running_loop()
        model = lane.model
        given_up = False

        def give_up() -> None:
            nonlocal given_up
            given_up = True
            self._give_up(batch)

        def finish() -> None:
            overdue.cancel()
            if not given_up:
                done()

        overdue = loop.call_later(self._timeout_s, give_up)
        self._compute_thread.run(lambda: compute(model, work), finish)

    def _compute_alone(self, lane: Lane, batch: list[Work], work: Work) -> None:
        """Compute for a session under suspicion."""
        started = self._clock()

        def start(done: Callable[[], None]) -> None:
            nonlocal started
            started = self._clock()
            self._compute_in_thread(lane, batch, [work], done)

        def finish(owned: bool) -> None:
            if not owned:
                self._on_fenced(work.session)
            self._finish(lane, batch, int(owned), started)

        self._careful = asyncio.get_running_loop().create_task(
            careful.compute(self._trials, work.session, work.seq, start=start, finish=finish)
        )

    def _give_up(self, batch: list[Work]) -> None:
        """The thread is stuck in a batch: answer its inputs, and compute no more."""
        self.suspended = True
        error = Unavailable(
            f"the computation took longer than {self._timeout_s:g} s", code="compute_timeout"
        )
        unsure: list[HeldSession] = []
        answered: dict[HeldSession, None] = {}
        now = self._clock()
        for one in batch:
            session = one.session
            if session.closed:
                continue
            if session.trainer is not None:
                unsure.append(session)
                continue
            one.error = one.error or error
            self._answer(one, output_times(int((now - one.at) * 1e6), 0))
            session.busy = False
            answered[session] = None
        for session in answered:
            self._on_answers(session)
        self._on_batch()
        self._on_stuck(unsure)

    def _finish(self, lane: Lane, batch: list[Work], computed: int, started: float) -> None:
        duration_s = self._clock() - started
        self._computing = False
        if computed:
            lane.item_s += SMOOTHING * (duration_s / computed - lane.item_s)
            self.stats.batches += 1
            self._observe(computed, started - batch[0].at, duration_s)
        self.stats.inputs += len(batch)
        compute_us = int(duration_s * 1e6)
        answered: dict[HeldSession, None] = {}
        session, at, times = None, -1.0, b""
        for one in batch:
            if one.session is not session:
                session = one.session
                session.busy = False
                answered[session] = None
            if session.closed:
                continue
            if one.at != at:
                # Inputs that came together waited equally long.
                at = one.at
                times = output_times(int((started - at) * 1e6), compute_us)
            self._answer(one, times)
        for session in answered:
            if not session.closed:
                self._on_answers(session)
                self.schedule(session)
        if self._turns:
            self._arm()
        self._on_batch()

    def _answer(self, work: Work, times: bytes) -> None:
        session, seq = work.session, work.seq
        answer = work.answer
        error = work.error
        if error is None and answer is not None:
            error = answer.error
            if error is None:
                session.state = answer.state
                if len(answer.payload) <= self._answer_bytes:
                    frame = answer_frame(seq, answer.payload, times)
                    session.machine.computed(seq, 0, True, KeptOutput(seq, 0, True, frame))
                    return
                error = answer_too_large(seq, len(answer.payload), self._answer_bytes)
        self.stats.failed += 1
        error = error or InternalError("the computation failed", code="compute_failed")
        dropped = error.code in DROPPED_CODES
        failure = KeptOutput(seq, 0, True, failure_frame(seq, error), dropped)
        session.machine.computed(seq, 0, True, failure)
