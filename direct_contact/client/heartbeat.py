"""Signs of life on one socket: asks for one when it is quiet, and calls it dead when none comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Heartbeat:
    """One timer per socket; what is received and sent only leaves a time.

    Args:
        loop: where the timer runs.
        ping: sends a Ping.
        silent_s: how long a server may be silent before its Welcome; after it, two intervals.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ping: Callable[[int], None],
        *,
        silent_s: float,
    ) -> None:
        self.received_at = 0.0
        self.sent_at = 0.0
        self._loop = loop
        self._ping = ping
        self._greeting_silent_s = silent_s
        self._silent_s = silent_s
        self._interval_s = 0.0
        self._nonce = 0
        self._suspected = False
        self._abort: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self, abort: Callable[[], None]) -> None:
        """A socket is up; `abort` ends it when it is dead."""
        self.received_at = self.sent_at = self._loop.time()
        self._abort = abort
        self._interval_s = 0.0
        self._silent_s = self._greeting_silent_s
        self._suspected = False
        self._arm(self._silent_s / 4)

    def welcomed(self, interval_s: float) -> None:
        """The server told how often it wants to hear something."""
        if interval_s > 0:
            self._interval_s = interval_s
            self._silent_s = 2 * interval_s
            self._arm(interval_s / 4)

    def stop(self) -> None:
        """The socket is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._abort = None

    def _arm(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, self._check)

    def _check(self) -> None:
        self._timer = None
        now = self._loop.time()
        silent_s = now - self.received_at
        if silent_s < self._silent_s:
            self._suspected = False
        elif self._suspected and self._abort is not None:
            self._abort()
            return
        else:
            # Perhaps it was this process that slept: let the loop read what is there first.
            self._suspected = True
        quiet_s = max(silent_s, now - self.sent_at)
        if self._interval_s and quiet_s >= 0.7 * self._interval_s:
            self._nonce += 1
            self._ping(self._nonce)
        self._arm((self._interval_s or self._silent_s) / 4)
