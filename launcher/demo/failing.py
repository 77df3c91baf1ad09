"""A demo that fails says in which step."""

from __future__ import annotations

from foundation.errors import DirectContactError

EXIT_CODE_BASE = 10
"""Step 3 that fails ends the command with 13; before the first step, the stack's start, with 10."""


class DemoFailed(DirectContactError):
    """One step did not do what it has to.

    Args:
        step: its number, from 1; 0: the stack did not start.
        title: what it is called.
        why: what went wrong.
    """

    default_code = "demo_failed"

    def __init__(self, step: int, title: str, why: str) -> None:
        super().__init__(f"step {step} ({title}) failed: {why}")
        self.step = step

    @property
    def exit_code(self) -> int:
        """What the command exits with."""
        return EXIT_CODE_BASE + self.step


class NotAsPromised(DirectContactError):
    """A step's result is not what the demo is to show."""

    default_code = "not_as_promised"
