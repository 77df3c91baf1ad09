"""When outputs are acknowledged: with what leaves anyway, or else alone before it is too late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from direct_contact.session import ClientMachine, ClientState

AFTER_OUTPUTS = 64
AFTER_S = 0.05
"""Alone, an acknowledgement waits for this many outputs, this long, or until somebody lacks
credit."""


class Acknowledging:
    """Decides when an acknowledgement leaves alone.

    Args:
        loop: where its timer runs.
        machine: knows what is unacknowledged.
        wake: called when an acknowledgement is due.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        machine: ClientMachine[Any],
        wake: Callable[[], None],
    ) -> None:
        self.due = False
        """It leaves now; whoever sends it, or begins anew, takes this back."""
        self._loop = loop
        self._machine = machine
        self._wake = wake
        self._timer: asyncio.TimerHandle | None = None

    def consider(self, *, lacking: bool) -> None:
        """Something came; with `lacking`, somebody waits for credit."""
        machine = self._machine
        unacknowledged = machine.outputs_unacknowledged
        if not unacknowledged or machine.state is not ClientState.OPEN:
            return
        if unacknowledged >= AFTER_OUTPUTS or lacking:
            self.due = True
            self._wake()
        elif self._timer is None:
            self._timer = self._loop.call_later(AFTER_S, self._on_timer)

    def stop(self) -> None:
        """The socket is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        if self._machine.outputs_unacknowledged:
            self.due = True
            self._wake()
