"""Which modules this process runs: those of the frame path as they are written, or compiled."""

from __future__ import annotations

COMPILED = "compiled"
PURE = "pure Python"


def modules() -> str:
    """`COMPILED` or `PURE`: this module is compiled where the others of the wheel's list are."""
    return PURE if __file__.endswith(".py") else COMPILED
