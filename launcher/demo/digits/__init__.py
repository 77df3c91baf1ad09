"""1,797 real handwritten digits; `ATTRIBUTION.md` beside this file tells whose they are."""

from __future__ import annotations

import gzip
from importlib.resources import files

import numpy as np
import numpy.typing as npt

_DARKEST = 16
"""Each pixel counts the dark ones among 4 by 4 of the original scan."""


def load_digits() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """The images as float32[1797, 64] from 0 to 1, row by row of 8 by 8, and the digits as int64.

    The order is the data set's own: shuffle before training.
    """
    compressed = files(__name__).joinpath("digits.csv.gz").read_bytes()
    lines = gzip.decompress(compressed).decode("ascii").splitlines()
    table = np.array([line.split(",") for line in lines], dtype=np.int64)
    return (table[:, :-1] / _DARKEST).astype(np.float32), table[:, -1].copy()
