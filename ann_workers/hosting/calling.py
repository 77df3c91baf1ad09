"""One input at the server that computes it: tried while that is away, its answer within bounds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from ann_workers.backends.remote import Part
from ann_workers.hosting.flights import Call, Flight
from ann_workers.hosting.frames import answer_too_large
from ann_workers.hosting.work import Work
from foundation.background import Background
from foundation.clock import Monotonic
from foundation.errors import (
    CallerError,
    DirectContactError,
    InternalError,
    LimitExceeded,
    Unavailable,
)

logger = logging.getLogger(__name__)

PAUSE_S: Final = 0.05
PAUSE_LONGEST_S: Final = 0.5
ABANDONED_S: Final = 120.0
"""How long the outcome of an input that was given up is waited for, before it is cancelled."""


@dataclass(frozen=True, slots=True)
class AnswerBounds:
    """How long the answer to an input may take, and how large it may be."""

    timeout_s: float
    """One that takes longer is given up."""
    retry_s: float
    """A server that is away is tried again for this long."""
    answer_bytes: int
    """All its parts together."""
    part_bytes: int
    """The largest part that can leave."""


class Calling:
    """Gets the answers of inputs.

    Args:
        background: runs what outlives an input that was given up.
        bounds: of each answer.
        on_part: is told when a part of an answer came.
    """

    def __init__(
        self,
        background: Background,
        bounds: AnswerBounds,
        *,
        on_part: Callable[[Flight], None],
        clock: Monotonic,
    ) -> None:
        self._background = background
        self._bounds = bounds
        self._on_part = on_part
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Wait for no answer any more."""
        for task in self._tasks:
            task.cancel()

    def call(self, work: Work, budget_ms: int) -> Call:
        """An input, with how long its answer may take."""
        session, seq = work.session, work.seq
        timeout_s = self._bounds.timeout_s
        left_s = budget_ms / 1000 - (self._clock() - work.at)
        droppable = session.machine.may_drop(seq) and not session.lane.model.signature.stateful
        if budget_ms and droppable and left_s < timeout_s:
            error = f"input {seq}: budget_ms is {budget_ms}, the answer took longer"
            return Call(work, left_s, CallerError(error, code="deadline_exceeded"))
        error = f"input {seq}: the answer took longer than {timeout_s:g} s"
        return Call(work, timeout_s, Unavailable(error, code="compute_timeout"))

    async def outcome(self, flight: Flight, call: Call) -> DirectContactError | None:
        """Send the input and take its answer; returns why that failed."""
        task = call.task = asyncio.get_running_loop().create_task(self._try(flight, call))
        self._keep(task)
        await asyncio.wait((task,), timeout=call.limit_s)
        if call.complete:
            return None
        if not task.done():
            call.given_up = True
            if flight.stateful:
                self._keep(self._background.spawn(_abandon(flight, call)))
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

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
                if not certain or now - lane.away_since >= self._bounds.retry_s:
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
                    self._on_part(flight)
        if refused is not None:
            raise refused
        call.take(Part(b"", last=True))
        self._on_part(flight)

    def _too_large(self, call: Call, part_bytes: int) -> LimitExceeded | None:
        seq, bounds = call.work.seq, self._bounds
        if part_bytes > bounds.part_bytes:
            return answer_too_large(seq, part_bytes, bounds.part_bytes)
        if call.answer_bytes + part_bytes > bounds.answer_bytes:
            return LimitExceeded(
                f"input {seq}: an answer may have {bounds.answer_bytes} bytes, "
                "this one has more (DC_WORKER_REMOTE_ANSWER_BYTES)",
                code="answer_too_large",
            )
        return None


async def _abandon(flight: Flight, call: Call) -> None:
    """Nothing else uses the state: it is freed when the server is done with it."""
    task, state = call.task, call.state
    assert task is not None  # noqa: S101  # it was sent
    await asyncio.wait((task,), timeout=ABANDONED_S)
    if not task.done():
        task.cancel()
    elif not task.cancelled():
        task.exception()
    await flight.model.release(replace(state, first=state.first or call.work.seq))
