"""When to try a connection again: full jitter under a cap, a server's wish, and an end."""

from __future__ import annotations

import random

BASE_S = 0.05
CAP_S = 5.0


class Backoff:
    """Delays between tries, each uniform between 0 and a bound that doubles.

    Full jitter spreads clients that were cut off together better than equal or decorrelated jitter
    (Brooker, "Exponential Backoff And Jitter", 2015).
    """

    def __init__(self, *, base_s: float = BASE_S, cap_s: float = CAP_S) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._tries = 0
        self._random = random.Random()  # noqa: S311  # it spreads load, it guards nothing

    def next_delay_s(self, *, at_least_s: float = 0.0) -> float:
        """How long to wait before the next try.

        Args:
            at_least_s: what the server asked for (Retry-After); jitter comes on top of it.
        """
        bound_s = min(self._cap_s, self._base_s * 2.0**self._tries)
        if bound_s < self._cap_s:
            self._tries += 1
        return at_least_s + self._random.uniform(0.0, bound_s)

    def spread_s(self, within_s: float) -> float:
        """A moment within the time in which every client of a server has to leave it."""
        return self._random.uniform(0.0, within_s)

    def reset(self) -> None:
        """A connection was made."""
        self._tries = 0
