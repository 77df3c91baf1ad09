"""Going away without losing anything: hand every session over, then stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Final

from ann_workers.hosting.checkpoints import RETRY_S
from ann_workers.hosting.host import Host
from ann_workers.hosting.session import HeldSession
from foundation.errors import DirectContactError

logger = logging.getLogger(__name__)

TOGETHER: Final = 32
"""Sessions that are handed over at a time: enough to fill a round trip to Redis, few enough that
each one's pause stays short."""


async def hand_over_all(host: Host, targets: Sequence[str], *, within_s: float) -> None:
    """Hand over every session at its input boundary, those with waiting inputs first.

    Returns when none is held or the time is over; what is left then is taken over from its last
    checkpoint.

    Args:
        host: whose sessions.
        targets: workers that they go to, by turns; none: their gateways look for one.
        within_s: the time.
    """
    host.taking.draining = True
    sessions = sorted(host.sessions.values(), key=lambda session: -len(session.queue))
    logger.info("draining", extra={"sessions": len(sessions), "targets": len(targets)})
    turns = cycle(targets or [""])
    try:
        async with asyncio.timeout(within_s):
            for start in range(0, len(sessions), TOGETHER):
                await _hand_over(host, sessions[start : start + TOGETHER], turns)
            while host.sessions:
                await _hand_over(host, list(host.sessions.values()), turns)
    except TimeoutError:
        logger.warning("not every session was handed over", extra={"left": len(host.sessions)})


async def _hand_over(host: Host, sessions: Sequence[HeldSession], turns: Iterator[str]) -> None:
    for session in sessions:
        session.standing = True
    await host.boundary.until(
        lambda: not any(session.busy or session.checkpointing for session in sessions)
    )
    await host.checkpoints.write([s for s in sessions if s.machine.dirty_inputs])
    # All at once: one round trip releases them.
    handed = await asyncio.gather(
        *(host.hand_over(session, next(turns)) for session in sessions), return_exceptions=True
    )
    failures = [failure for failure in handed if failure is not None]
    for failure in failures:
        if not isinstance(failure, DirectContactError):
            raise failure
        logger.warning("%s: %s", failure.code, failure.message)
    if failures:
        await asyncio.sleep(RETRY_S)
