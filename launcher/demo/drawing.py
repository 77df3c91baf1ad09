"""Digits drawn in the terminal: two rows of pixels a line, with half blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SIDE = 8
_SHADES = 232
_STEPS = 23
_RAMP = " .:-=+*#%@"


def draw(image: npt.NDArray[np.float32], *, colours: bool) -> list[str]:
    """The lines of one digit, float32[64] from 0 to 1; all lines have the same visible width."""
    pixels = image.reshape(SIDE, SIDE)
    if not colours:
        return [
            "".join(_RAMP[round(float(v) * (len(_RAMP) - 1))] * 2 for v in row) for row in pixels
        ]
    return [
        "".join(
            f"\x1b[38;5;{_shade(upper)};48;5;{_shade(lower)}m▀▀"
            for upper, lower in zip(pixels[row], pixels[row + 1], strict=True)
        )
        + "\x1b[0m"
        for row in range(0, SIDE, 2)
    ]


def beside(drawings: Sequence[Sequence[str]], captions: Sequence[str], *, gap: str = "   ") -> str:
    """Drawings of one height side by side, each with its caption below it."""
    lines = [gap.join(parts) for parts in zip(*drawings, strict=True)]
    lines.append(gap.join(caption.center(2 * SIDE) for caption in captions))
    return "\n".join(lines)


def _shade(value: np.float32) -> int:
    return _SHADES + round(float(np.clip(value, 0, 1)) * _STEPS)
