"""Every work, in the order of the table."""

from __future__ import annotations

from benchmarks.works.frames import BATCHED, LARGE, STEADY, THROUGHPUT, UNARY
from benchmarks.works.pressure import PRESSURE
from benchmarks.works.scaling import SCALING
from benchmarks.works.sessions import CHECKPOINTS, MEMORY, OPENING
from benchmarks.works.starting import STARTING

WORKS = (
    THROUGHPUT,
    UNARY,
    STEADY,
    LARGE,
    BATCHED,
    CHECKPOINTS,
    SCALING,
    OPENING,
    MEMORY,
    PRESSURE,
    STARTING,
)
