"""Continuous batching: while one batch computes, the next one gathers.

Sessions that share a model share a lane. A batch holds at most one input of a stateful session.
Nothing waits for a timer: whatever is ready when the computer is free is the next batch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from ann_workers.hosting.frames import DROPPED_CODES, failure_frame, output_frame
from ann_workers.hosting.session import HeldSession, KeptOutput, Lane
from ann_workers.hosting.work import Work, compute, prepare
from foundation.clock import Monotonic, monotonic
from foundation.errors import InternalError

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
        inline_s: a batch that is expected to take longer is computed in a thread.
        on_answers: is told of sessions that have new outputs, after each batch.
        on_boundary: is told of a session at an input boundary that has a command waiting.
        observe: is told of each batch's size, the longest wait in it and its duration, in s.
    """

    def __init__(
        self,
        *,
        max_batch: int,
        inline_s: float,
        on_answers: Callable[[HeldSession], None],
        on_boundary: Callable[[HeldSession], None],
        observe: Callable[[int, float, float], None],
        clock: Monotonic = monotonic,
    ) -> None:
        self.stats = EngineStats()
        self.suspended = False
        self._max_batch = max_batch
        self._inline_s = inline_s
        self._on_answers = on_answers
        self._on_boundary = on_boundary
        self._observe = observe
        self._clock = clock
        self._turns: deque[Lane] = deque()
        self._computing = False
        self._armed = False
        # One thread: models are used by one thread at a time, and replicas share the machine.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compute")

    def close(self) -> None:
        """Compute no more."""
        self.suspended = True
        self._thread.shutdown(wait=False, cancel_futures=True)

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
            session = ready.popleft()
            session.scheduled = False
            if session.closed or session.paused or session.lane is not lane:
                self.schedule(session)
                continue
            before = len(batch)
            self._take(session, batch, 1 if stateful else budget - before)
            if len(batch) > before:
                session.busy = True
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
            if stop_at and queue[0].input.seq > stop_at:
                break
            batch.append(prepare(session, queue.popleft(), train, self._clock))
            count -= 1

    # ------------------------------------------------------------ computing

    def _start(self, lane: Lane, batch: list[Work]) -> None:
        self._computing = True
        work = [one for one in batch if one.error is None]
        started = self._clock()
        if len(work) * lane.item_s <= self._inline_s:
            compute(lane.model, work)
            self._finish(lane, batch, len(work), started)
            return
        self.stats.threaded += 1
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._thread, compute, lane.model, work)
        future.add_done_callback(lambda _: self._finish(lane, batch, len(work), started))

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
        for one in batch:
            session = one.session
            answered[session] = None
            if not session.closed:
                self._answer(one, started, compute_us)
        for session in answered:
            session.busy = False
            if not session.closed:
                self._on_answers(session)
                self.schedule(session)
        self._arm()

    def _answer(self, work: Work, started: float, compute_us: int) -> None:
        session, seq = work.session, work.seq
        answer = work.answer
        error = work.error
        if error is None and answer is not None:
            error = answer.error
            if error is None:
                session.state = answer.state
                queue_us = int((started - work.at) * 1e6)
                frame = output_frame(seq, answer.payload, queue_us=queue_us, compute_us=compute_us)
                session.machine.computed(seq, 0, True, KeptOutput(seq, 0, True, frame))
                return
        self.stats.failed += 1
        error = error or InternalError("the computation failed", code="compute_failed")
        dropped = error.code in DROPPED_CODES
        failure = KeptOutput(seq, 0, True, failure_frame(seq, error), dropped)
        session.machine.computed(seq, 0, True, failure)
