"""The worker's lease: proof, by its own monotonic clock, that it may still answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from foundation.clock import Monotonic, monotonic
from foundation.errors import DirectContactError
from registry.live import WorkerDirectory, WorkerInfo

logger = logging.getLogger(__name__)


class Lease:
    """Renews the worker's entry in the directory, four times in its length.

    A renewal counts from before it was asked for. When none succeeded for the lease's length, the
    worker must hold its tongue: others may have taken its sessions. The fence in Redis and the
    epochs on the envelopes keep the guarantee even where this clock is wrong.

    Args:
        directory: where the lease lies.
        length_s: how long one renewal is good for.
        describe: tells the worker's entry.
        on_regained: is awaited when a lost lease is renewed, before answering goes on.
        on_good: is called when it does.
    """

    def __init__(
        self,
        directory: WorkerDirectory,
        *,
        length_s: float,
        describe: Callable[[], WorkerInfo],
        on_regained: Callable[[], Awaitable[None]],
        on_good: Callable[[], None],
        clock: Monotonic = monotonic,
    ) -> None:
        self._directory = directory
        self._length_s = length_s
        self._describe = describe
        self._on_regained = on_regained
        self._on_good = on_good
        self._clock = clock
        self._good_until = 0.0
        self._suspended = True
        self._regaining = False

    def good(self) -> bool:
        """True while this worker may answer. False stays false until `on_regained` is through."""
        if not self._suspended and self._clock() >= self._good_until:
            self._suspended = True
            logger.warning("the lease is lost: nothing is answered until it is renewed")
        return not self._suspended

    async def renew(self) -> None:
        """Renew once.

        Raises:
            Unavailable: Redis does not answer.
        """
        asked_at = self._clock()
        lost = not self.good()
        async with asyncio.timeout(self._length_s):
            renewed = await self._directory.announce(self._describe(), int(self._length_s * 1000))
        # Others may have taken sessions; or Redis lost its data, and they are put back. What fails
        # of it is due again.
        self._regaining |= lost or not renewed
        if self._regaining:
            await self._on_regained()
            self._regaining = False
        self._good_until = asked_at + self._length_s
        self._suspended = False
        if lost:
            self._on_good()

    async def run(self) -> None:
        """Renew until cancelled; a failure is tried again soon."""
        while True:
            await asyncio.sleep(self._length_s / 4)
            try:
                await self.renew()
            except DirectContactError as error:
                logger.warning("the lease was not renewed: %s", error)
            except TimeoutError:
                logger.warning("the lease was not renewed: Redis did not answer in time")
