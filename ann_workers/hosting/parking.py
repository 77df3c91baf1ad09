"""What is kept in memory for clients that are away: within a budget, the longest absent give way.

A parked session is let go as it is. Redis has its last checkpoint and its client retains every
input past that, so whoever takes it when the client comes back goes on as after a worker's death.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final, Protocol

from ann_workers.hosting.session import HeldSession
from foundation.background import Background
from protos.dc.internal.v1.envelope_pb2 import Released
from registry.live import SessionStore

logger = logging.getLogger(__name__)

SESSION_BYTES: Final = 8 * 1024
"""What an idle session takes here beside its state, about."""
ENTRY_BYTES: Final = 256
"""What an input or an output takes beside its bytes, about."""


class ParkingHost(Protocol):
    """What parking needs of the host."""

    store: SessionStore
    background: Background

    def let_go(self, session: HeldSession, released: Released | None) -> None:
        """The session is not owned any more."""


@dataclass(slots=True)
class _Absent:
    queued_bytes: int
    outputs: int = 0
    output_bytes: int = 0
    weight: int = 0


class Parking:
    """The held sessions whose clients are away, the longest absent first.

    Args:
        host: lets sessions go.
        limit_bytes: what they may take together.
    """

    def __init__(self, host: ParkingHost, *, limit_bytes: int) -> None:
        self.parked = 0
        self.bytes = 0
        """What the absent sessions take, about."""
        self._host = host
        self._limit_bytes = limit_bytes
        self._absent: dict[HeldSession, _Absent] = {}

    def __len__(self) -> int:
        """How many clients are away."""
        return len(self._absent)

    def left(self, session: HeldSession) -> None:
        """The session's client is gone."""
        self.back(session)
        queued_bytes = sum(
            len(item.payload) + len(item.target) + ENTRY_BYTES for item, _ in session.queue
        )
        self._absent[session] = _Absent(queued_bytes)
        self.weigh(session)

    def back(self, session: HeldSession) -> None:
        """The session's client is here again, or the session is not held any more."""
        absent = self._absent.pop(session, None)
        if absent is not None:
            self.bytes -= absent.weight

    def weigh(self, session: HeldSession) -> None:
        """The session has new outputs. Costs nothing while its client is there."""
        absent = self._absent.get(session)
        if absent is None:
            return
        machine = session.machine
        if machine.outputs_kept < absent.outputs:
            absent.outputs = absent.output_bytes = 0
        for output in machine.latest(machine.outputs_kept - absent.outputs):
            absent.output_bytes += len(output.frame) + ENTRY_BYTES
        absent.outputs = machine.outputs_kept
        # Inputs count until all of them are computed: an upper bound that costs no walk.
        queued_bytes = absent.queued_bytes if session.queue else 0
        weight = SESSION_BYTES + session.state_bytes + absent.output_bytes + queued_bytes
        self.bytes += weight - absent.weight
        absent.weight = weight
        while self.bytes > self._limit_bytes:
            self.give_way()

    def give_way(self) -> bool:
        """Park the session whose client is away for the longest time; False: none is away."""
        session = next(iter(self._absent), None)
        if session is None:
            return False
        self.park(session)
        return True

    def park(self, session: HeldSession) -> None:
        """Keep nothing of the session here; nobody owns it until its client comes back."""
        if session.closed:
            return
        self.parked += 1
        logger.info("parked", extra={"session": session.id, "epoch": session.epoch})
        self._host.let_go(session, None)
        self._host.background.spawn(self._release(session))

    async def _release(self, session: HeldSession) -> None:
        # Where this fails, the next owner takes it from a worker that does not know it.
        await self._host.store.release(session.id, session.epoch)
