"""Log lines about what may happen thousands of times a second."""

from __future__ import annotations

import logging
import time

from foundation.clock import Monotonic


class Complaints:
    """Writes one line per `every_s` at most, and says how many it left out before.

    Args:
        logger: where the lines go.
        every_s: the shortest time between two lines.
    """

    def __init__(
        self, logger: logging.Logger, *, every_s: float = 1.0, clock: Monotonic = time.monotonic
    ) -> None:
        self._logger = logger
        self._every_s = every_s
        self._clock = clock
        self._next = float("-inf")
        self._left_out = 0

    def warning(self, message: str, *arguments: object) -> None:
        """Log a warning, unless one was logged just now."""
        self._log(logging.WARNING, message, arguments, traceback=False)

    def exception(self, message: str, *arguments: object) -> None:
        """Log the exception being handled, unless something was logged just now."""
        self._log(logging.ERROR, message, arguments, traceback=True)

    def _log(
        self, level: int, message: str, arguments: tuple[object, ...], *, traceback: bool
    ) -> None:
        now = self._clock()
        if now < self._next:
            self._left_out += 1
            return
        self._next = now + self._every_s
        if self._left_out:
            message += f" (and {self._left_out} more since the last such line)"
            self._left_out = 0
        self._logger.log(level, message, *arguments, exc_info=traceback)
