"""How long to wait before a dead process is started again."""

from __future__ import annotations

import random

FIRST_S = 0.1
LONGEST_S = 10.0
HEALTHY_S = 10.0
"""A run of this length was a good one: the next death starts from the shortest delay again."""

_jitter = random.SystemRandom()


class Backoff:
    """Delays that double from `FIRST_S` to `longest_s`, each with half of it as jitter.

    The jitter keeps processes that died of one cause from coming back in one herd.
    """

    def __init__(self, longest_s: float = LONGEST_S) -> None:
        self._longest_s = longest_s
        self._next_s = min(FIRST_S, longest_s)

    def after(self, ran_s: float) -> float:
        """The seconds to wait after a run of `ran_s` seconds: in [d/2, d], d the doubled delay."""
        if ran_s >= HEALTHY_S:
            self._next_s = min(FIRST_S, self._longest_s)
        delay_s = self._next_s
        self._next_s = min(self._longest_s, 2 * delay_s)
        return delay_s * _jitter.uniform(0.5, 1.0)
