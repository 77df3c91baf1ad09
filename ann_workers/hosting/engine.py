"""Continuous batching: while one batch computes, the next one gathers.

Sessions that share a model share a lane. A batch holds at most one input of a stateful session.
Nothing waits for a timer: whatever is ready when the computer is free is the next batch.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from ann_workers.backends.port import Answer, Model, Request
from ann_workers.hosting.frames import DROPPED_CODES, failure_frame, output_frame
from ann_workers.hosting.session import Arrived, HeldSession, KeptOutput, Lane
from foundation.clock import Monotonic, monotonic
from foundation.errors import CallerError, DirectContactError, InternalError, InvalidInput
from protos.dc.v1.stream_pb2 import Input
from protos.dc.v1.tensor_pb2 import Payload

logger = logging.getLogger(__name__)

SMOOTHING: Final = 0.1
"""Weight of the newest batch in the estimate of a lane's cost per input."""


@dataclass(slots=True)
class _Entry:
    session: HeldSession
    seq: int
    at: float
    request: Request | None
    train: bool = False
    error: DirectContactError | None = None
    answer: Answer | None = None


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

    def _gather(self, lane: Lane) -> list[_Entry]:
        batch: list[_Entry] = []
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

    def _take(self, session: HeldSession, batch: list[_Entry], count: int) -> None:
        queue = session.queue
        train = session.training
        if session.commands and self._due(session):
            return
        stop_at = session.commands[0].command.after_seq if session.commands else 0
        while queue and count > 0:
            if stop_at and queue[0].input.seq > stop_at:
                break
            arrived = queue.popleft()
            batch.append(self._entry(session, arrived, train))
            count -= 1

    def _entry(self, session: HeldSession, arrived: Arrived, train: bool) -> _Entry:
        item, at = arrived
        seq = item.seq
        if item.skip or item.budget_ms or session.cancelled:
            error = self._dropped(session, item, at)
            if error is not None:
                return _Entry(session, seq, at, None, error=error)
        try:
            tensors = Payload.FromString(item.payload).tensors
            session.lane.model.check(tensors)
            target = Payload.FromString(item.target).tensors if item.target else None
        except InvalidInput as error:
            return _Entry(session, seq, at, None, error=error)
        except DecodeError:
            wrong = InvalidInput(
                f"input {seq}: payload or target is not a serialized dc.v1.Payload",
                code="bad_payload",
            )
            return _Entry(session, seq, at, None, error=wrong)
        request = Request(tensors=tensors, target=target, state=session.state)
        return _Entry(session, seq, at, request, train=train and target is not None)

    def _dropped(self, session: HeldSession, item: Input, at: float) -> DirectContactError | None:
        seq = item.seq
        if item.skip:
            return CallerError(f"input {seq} was dropped before", code="dropped")
        if not session.machine.may_drop(seq):
            return None
        if seq in session.cancelled:
            session.cancelled.discard(seq)
            return CallerError(f"input {seq} was cancelled", code="cancelled")
        waited_ms = (self._clock() - at) * 1000
        if item.budget_ms and waited_ms > item.budget_ms:
            return CallerError(
                f"input {seq}: budget_ms is {item.budget_ms}, it waited {waited_ms:.0f} ms",
                code="deadline_exceeded",
            )
        return None

    # ------------------------------------------------------------ computing

    def _start(self, lane: Lane, batch: list[_Entry]) -> None:
        self._computing = True
        work = [entry for entry in batch if entry.request is not None]
        started = self._clock()
        if len(work) * lane.item_s <= self._inline_s:
            _compute(lane.model, work)
            self._finish(lane, batch, len(work), started)
            return
        self.stats.threaded += 1
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._thread, _compute, lane.model, work)
        future.add_done_callback(lambda _: self._finish(lane, batch, len(work), started))

    def _finish(self, lane: Lane, batch: list[_Entry], computed: int, started: float) -> None:
        duration_s = self._clock() - started
        self._computing = False
        if computed:
            lane.item_s += SMOOTHING * (duration_s / computed - lane.item_s)
            self.stats.batches += 1
            self._observe(computed, started - min(e.at for e in batch), duration_s)
        self.stats.inputs += len(batch)
        compute_us = int(duration_s * 1e6)
        answered: dict[HeldSession, None] = {}
        for entry in batch:
            session = entry.session
            answered[session] = None
            if not session.closed:
                self._answer(entry, started, compute_us)
        for session in answered:
            session.busy = False
            if not session.closed:
                self._on_answers(session)
                self.schedule(session)
        self._arm()

    def _answer(self, entry: _Entry, started: float, compute_us: int) -> None:
        session, seq = entry.session, entry.seq
        answer = entry.answer
        error = entry.error or (answer.error if answer is not None else None)
        if error is not None or answer is None:
            self.stats.failed += 1
            error = error or InternalError("the computation failed", code="compute_failed")
            frame = failure_frame(seq, error)
        else:
            session.state = answer.state
            queue_us = max(0, int((started - entry.at) * 1e6))
            frame = output_frame(seq, answer.payload, queue_us=queue_us, compute_us=compute_us)
        dropped = error is not None and error.code in DROPPED_CODES
        session.machine.computed(seq, 0, True, KeptOutput(seq, 0, True, frame, dropped))


def _compute(model: Model, work: list[_Entry]) -> None:
    """Fill in the answers. Runs in the event loop or in the compute thread; never raises."""
    run: list[_Entry] = []
    for entry in work:
        if entry.train:
            _infer(model, run)
            run = []
            _train(model, entry)
        else:
            run.append(entry)
    _infer(model, run)


def _train(model: Model, entry: _Entry) -> None:
    # A stateless session may have several inputs in one batch, but state is None then.
    try:
        entry.answer = model.train(entry.request)  # type: ignore[attr-defined]  # a trainer's
    except Exception as error:  # noqa: BLE001  # whatever a backend raises costs this input alone
        entry.error = _failure(error)


def _infer(model: Model, entries: list[_Entry]) -> None:
    if not entries:
        return
    requests = [entry.request for entry in entries if entry.request is not None]
    try:
        for entry, answer in zip(entries, model.infer(requests), strict=True):
            entry.answer = answer
    except Exception as error:  # noqa: BLE001  # whatever a backend raises costs its batch alone
        if len(entries) == 1:
            entries[0].error = _failure(error)
            return
        # Find the input at fault: one of them must not cost the others.
        for entry in entries:
            _infer(model, [entry])


def _failure(error: Exception) -> DirectContactError:
    if isinstance(error, DirectContactError):
        return error
    logger.error("the backend failed", exc_info=error)
    return InternalError("the computation failed", code="compute_failed")
