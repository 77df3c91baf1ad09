"""Staying awake for the next frame, where frames follow each other closely.

A process that sleeps is woken for every frame that comes alone, by way of the kernel and an idle
core: that takes longer than all that our code does with the frame. One that is awake still finds
it at once, and whoever wrote it had nobody to wake.
"""

from __future__ import annotations

import asyncio
import os

from pydantic import Field

from foundation.clock import Monotonic, monotonic
from foundation.settings import SettingsGroup


class BusyPollSettings(SettingsGroup):
    """How long a process stays awake for the next frame."""

    busy_poll_us: int = Field(
        500,
        ge=0,
        le=10_000,
        description="Where frames come one by one and closer than this, the process looks for the "
        "next one for this long before it sleeps: a third to a half less latency, for CPU time "
        "that no other process asks for; 0: never, as where CPU time is capped or billed",
    )


class BusyPoll:
    """Keeps the event loop turning while the next frame is expected soon.

    The core is offered to other processes at each turn. Frames that come in bundles waited for us,
    we did not wait for them: for those nobody stays awake.

    Args:
        limit_s: two frames within this time are close, and for this long the next one is awaited;
            0: never.
    """

    def __init__(self, limit_s: float, clock: Monotonic = monotonic) -> None:
        self.turning = False
        """The process stays awake just now."""
        self._limit_s = limit_s
        self._clock = clock
        self._heard_at = clock() - limit_s

    def heard(self, frames: int) -> None:
        """So many frames came together."""
        if frames != 1:
            return
        now = self._clock()
        close = now - self._heard_at < self._limit_s
        self._heard_at = now
        if close and not self.turning:
            self.turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        if self._clock() - self._heard_at < self._limit_s:
            os.sched_yield()
            asyncio.get_running_loop().call_soon(self._turn)
        else:
            self.turning = False
