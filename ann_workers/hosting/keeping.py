"""Staying the owner: what the session store hears of sessions while nothing else is written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final, Protocol

from ann_workers.hosting.checkpoints import Checkpointer
from ann_workers.hosting.session import HeldSession
from foundation.clock import Monotonic
from foundation.errors import DirectContactError, Unavailable
from foundation.pulse import Pulse
from registry.live import Hold, SessionStore

logger = logging.getLogger(__name__)

EVERY_S: Final = 1.0
"""Between two looks at all sessions: the precision of their resume time."""
TOGETHER: Final = 256
"""Sessions that are kept in one round trip."""


class KeepingHost(Protocol):
    """What keeping needs of the host."""

    name: str
    store: SessionStore
    now: Monotonic
    sessions: dict[str, HeldSession]
    checkpoints: Checkpointer
    boundary: Pulse

    def fenced(self, session: HeldSession) -> None:
        """Another worker owns the session."""

    async def end(self, session: HeldSession, reason: str) -> None:
        """End the session."""


class Keeping:
    """Keeps owned sessions alive in the store; finds those that another worker owns."""

    def __init__(self, host: KeepingHost) -> None:
        self._host = host

    async def run(self) -> None:
        """Keep sessions and end those whose client did not come back, until cancelled."""
        host = self._host
        while True:
            await asyncio.sleep(EVERY_S)
            for session in tuple(host.sessions.values()):
                # Looked at one by one: its client may come back while others are ended.
                away_s = 0.0 if session.attached else host.now() - session.detached_at
                if away_s > session.record.resume_ttl_s:
                    await _quietly(host.end(session, "its client did not come back in time"))
            now = host.now()
            due = [
                session
                for session in host.sessions.values()
                if now - session.touched_at > session.record.resume_ttl_s / 3
            ]
            await _quietly(self._touch(due))

    async def regain(self) -> None:
        """The lease was lost and is good again: keep only what nobody took meanwhile.

        Redis may have lost its data: checkpoints are written for sessions that stand still too.

        Raises:
            Unavailable: the store does not answer.
        """
        host = self._host
        await self._touch(list(host.sessions.values()))
        kept = [
            s for s in host.sessions.values() if s.machine.checkpoint_seq and s.machine.stateful
        ]
        await host.boundary.until(lambda: not any(session.checkpointing for session in kept))
        if not await host.checkpoints.write(kept):
            raise Unavailable("checkpoints were not written again")

    async def pause(self, session: HeldSession) -> None:
        """Write down whether the session is paused, where no checkpoint does.

        Raises:
            Unavailable: the store does not answer, or another worker owns the session.
        """
        [owned] = await self._host.store.touch([self._hold(session)])
        if not owned:
            self._host.fenced(session)
            raise Unavailable("the session moved away; repeat the command", code="moved")

    async def _touch(self, sessions: list[HeldSession]) -> None:
        """Refresh the sessions' time to live; those that another worker owns are dropped.

        Raises:
            Unavailable: the store does not answer.
        """
        host = self._host
        for start in range(0, len(sessions), TOGETHER):
            some = sessions[start : start + TOGETHER]
            answers = await host.store.touch([self._hold(session) for session in some])
            for session, owned in zip(some, answers, strict=True):
                session.touched_at = host.now()
                session.careful = False
                if not owned:
                    host.fenced(session)

    def _hold(self, session: HeldSession) -> Hold:
        return Hold(
            record=session.record,
            epoch=session.epoch,
            worker=self._host.name,
            seat=session.seat,
            paused=session.paused,
        )


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except DirectContactError as error:
        logger.warning("%s: %s", error.code, error.message)
