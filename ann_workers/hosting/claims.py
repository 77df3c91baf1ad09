"""States that another server keeps: what is written down, so that nothing is counted twice.

The session's claim says which input may have reached its state. It is written before that input is
sent, by a write that only the session's owner can make. So whoever owns the session later knows:
either nothing was under way, and the state is exactly the checkpoint's; or something was, and the
state is given up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ann_workers.hosting.checkpoints import RETRY_S, SAVES_AT_ONCE, Checkpointer
from ann_workers.hosting.flights import Flight
from ann_workers.hosting.session import HeldSession
from foundation.background import Background
from foundation.pulse import Pulse


class ClaimsHost(Protocol):
    """What is needed of the host."""

    checkpoints: Checkpointer
    boundary: Pulse
    background: Background


def recover(session: HeldSession) -> None:
    """Judge the state of a session that was taken over from a checkpoint.

    An input that was being sent may have changed it or not: then it is given up, its range lost.
    A key under which nothing was written down is given up too: its first input may have been sent,
    or may still be, by an owner that stood still, and would begin the state anew.
    """
    model, state = session.lane.remote, session.state
    if model is None or state is None or (state.first and not state.sending):
        return
    if state.first:
        session.machine.lose(state.first, session.machine.computed_seq)
    session.state = model.new_state()


class Claims:
    """Writes down what is sent next; the writes of all sessions that wait go together.

    Args:
        host: has the checkpoints.
        on_written: sends the input.
        on_closed: is told of a session that went away before; its next owner sends the input.
    """

    def __init__(
        self,
        host: ClaimsHost,
        *,
        on_written: Callable[[Flight], None],
        on_closed: Callable[[Flight], None],
    ) -> None:
        self._host = host
        self._on_written = on_written
        self._on_closed = on_closed
        self._waiting: deque[Flight] = deque()
        self._task: asyncio.Task[None] | None = None

    def write(self, flight: Flight) -> None:
        """Have the claim written, then the input sent."""
        self._waiting.append(flight)
        if self._task is None or self._task.done():
            self._task = self._host.background.spawn(self._write_all())

    def close(self) -> None:
        """Write nothing more."""
        if self._task is not None:
            self._task.cancel()

    async def _write_all(self) -> None:
        while self._waiting:
            await self._host.boundary.until(
                lambda: any(_may_go(one.session) for one in self._waiting)
            )
            if not await self._write_some():
                await asyncio.sleep(RETRY_S)

    async def _write_some(self) -> bool:
        some: list[Flight] = []
        later: deque[Flight] = deque()
        for flight in self._waiting:
            free = len(some) < SAVES_AT_ONCE and _may_go(flight.session)
            (some if free else later).append(flight)
        self._waiting = later
        for flight in some:
            _claim(flight, flight.calls[0].work.seq)
        written = await self._host.checkpoints.write([flight.session for flight in some])
        # No turn of the event loop lies between the write and this: a session is busy before
        # anybody can take it for one that stands at its boundary.
        for flight in some:
            if flight.session.closed:
                self._on_closed(flight)
            elif written:
                self._on_written(flight)
            else:
                _claim(flight, 0)
                self._waiting.append(flight)
        return written


def _may_go(session: HeldSession) -> bool:
    # One that is handed over stands still: its next owner would find the claim of an input that
    # was never sent, and give the state up.
    return session.closed or not (session.checkpointing or session.standing)


def _claim(flight: Flight, seq: int) -> None:
    state = replace(flight.state, sending=seq)
    flight.session.state = flight.calls[0].work.state = state
