"""Computing for sessions under suspicion: whose owners, several in a row, did not outlive them.

Their inputs are computed one at a time, alone, in the thread, and the session store knows which one
is under way. So the next owner knows the input at fault when this one dies too; sessions that were
only near it are not blamed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from ann_workers.hosting.session import HeldSession
from foundation.errors import CallerError, DirectContactError
from registry.live import Ownership

logger = logging.getLogger(__name__)

CAREFUL_AFTER: Final = 2
"""Owners in a row that a session outlived: two may be an accident, and cost nothing."""
SKIP_AFTER: Final = 3
"""An input that this many careful owners in a row died over is not computed again. Workers that are
killed for other reasons, one soon after the other, leave different inputs behind."""
QUARANTINE_AFTER: Final = 8
"""A session that this many owners died over is given up: skipping inputs did not help."""


class Trials(Protocol):
    """What is needed of the session store."""

    async def trying(self, session: str, *, epoch: int, seq: int) -> bool:
        """Write down which input is computed; 0: none. False: another owner has the session."""


def suspect(session: HeldSession, ownership: Ownership) -> None:
    """Judge a session that was just taken over by what happened to its earlier owners."""
    session.careful = ownership.failures >= CAREFUL_AFTER
    if ownership.deaths >= SKIP_AFTER:
        session.fatal_seq = ownership.trying
        logger.error(
            "an input is skipped, since workers died over it",
            extra={"session": session.id, "seq": ownership.trying, "deaths": ownership.deaths},
        )


def fatal(seq: int) -> CallerError:
    """The answer to an input that workers died over."""
    return CallerError(
        f"input {seq} was not computed: {SKIP_AFTER} workers in a row ended over it",
        code="input_quarantined",
    )


async def tell(trials: Trials, session: HeldSession, seq: int) -> bool:
    """Tell the store what is computed now; 0: nothing. False: the session has another owner.

    Computing goes on while the store is away: nobody can take the session then either.
    """
    try:
        return await trials.trying(session.id, epoch=session.epoch, seq=seq)
    except DirectContactError as error:
        logger.warning("not written down which input is computed: %s", error.message)
        return True


async def compute(
    trials: Trials,
    session: HeldSession,
    seq: int,
    *,
    start: Callable[[Callable[[], None]], None],
    finish: Callable[[bool], None],
) -> None:
    """Compute an input alone, while the store knows of it.

    `start` begins, and calls what it is given when it is over. `finish` is called at the end, with
    False where the session has another owner: then nothing was computed.
    """
    if not await tell(trials, session, seq):
        finish(False)
        return
    computed = asyncio.get_running_loop().create_future()
    start(lambda: computed.set_result(None))
    await computed
    await tell(trials, session, 0)
    finish(True)
