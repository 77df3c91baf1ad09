"""A backend that sums what comes, and raises, hangs or kills its process when it is told to."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ann_workers.backends.payload import payload_prefix
from ann_workers.backends.port import Answer, Request, Signature, TensorSpec
from foundation.errors import InvalidInput

RAISE, HANG, KILL = -1.0, -2.0, -3.0
RELEASE = threading.Event()
"""Lets go of a hanging computation at the end of a test."""


class FaultyBackend:
    name = "faulty"

    def load(self, spec: Mapping[str, Any], weights: bytes) -> FaultyModel:
        return FaultyModel(bool(spec["stateful"]))


class FaultyModel:
    def __init__(self, stateful: bool) -> None:
        one = (TensorSpec("x", "FP32", (1,)),)
        self.signature = Signature(one, one, stateful=stateful, trainable=False, max_batch=64)

    def new_state(self) -> Any:
        return 0.0 if self.signature.stateful else None

    def check(self, tensors: Sequence[Any]) -> None:
        if len(tensors) != 1 or len(tensors[0].data) != 4:
            raise InvalidInput("x: expected FP32 [1]")

    def infer(self, batch: Sequence[Request]) -> list[Answer]:
        return [self._answer(request) for request in batch]

    def _answer(self, request: Request) -> Answer:
        x = float(np.frombuffer(request.tensors[0].data, "<f4")[0])
        if x == RAISE:
            raise RuntimeError("told to raise")
        if x == HANG:
            RELEASE.wait()
        if x == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        y = (request.state or 0.0) + x
        data = np.float32(y).tobytes()
        state = y if self.signature.stateful else None
        return Answer(payload_prefix("y", "FP32", (1,), 4) + data, state)

    def dump_state(self, state: Any) -> bytes:
        return b"" if state is None else np.float64(state).tobytes()

    def load_state(self, data: bytes) -> Any:
        return float(np.frombuffer(data)[0])

    def fork(self) -> Any:
        raise InvalidInput("it can't be trained")


def install(folder: Path) -> Path:
    """Make a folder that offers the backend to a Python with it and the root on its path."""
    found = folder / "faulty-1.0.dist-info"
    found.mkdir(parents=True)
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (found / "entry_points.txt").write_text(
        "[direct_contact.backends]\nfaulty = tests.support.faulty:FaultyBackend\n"
    )
    return folder
