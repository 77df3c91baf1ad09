"""The digits, divided into those to learn from and those held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from launcher.demo.digits import load_digits

HELD_OUT = 360
_SEED = 0


@dataclass(frozen=True, slots=True)
class Digits:
    """Some digits."""

    images: npt.NDArray[np.float32]
    """float32[n, 64] from 0 to 1"""
    labels: npt.NDArray[np.int64]
    """int64[n]"""

    def __len__(self) -> int:
        return len(self.labels)


def split_digits() -> tuple[Digits, Digits]:
    """1,437 digits to learn from, and `HELD_OUT` others; always the same ones."""
    images, labels = load_digits()
    order = np.random.default_rng(_SEED).permutation(len(labels))
    train, held_out = order[HELD_OUT:], order[:HELD_OUT]
    return Digits(images[train], labels[train]), Digits(images[held_out], labels[held_out])
