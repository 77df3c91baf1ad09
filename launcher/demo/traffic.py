"""What a step's sessions carried, for the table at the end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np


@dataclass(slots=True)
class Traffic:
    """Outputs of some sessions, measured at the client; use it as a context manager around them."""

    what: str
    sessions: int = 0
    latencies_s: list[float] = field(default_factory=list)
    """From sending an input to receiving its output, one for each output."""
    workers: set[str] = field(default_factory=set)
    """Where the sessions ran."""
    _started_at: float = 0.0
    _seconds: float = 0.0

    def __enter__(self) -> Self:
        self._started_at = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._seconds = time.perf_counter() - self._started_at

    @property
    def frames(self) -> int:
        """Inputs that were answered."""
        return len(self.latencies_s)

    @property
    def frames_per_s(self) -> float:
        """Over the whole time, all sessions together."""
        return self.frames / self._seconds if self._seconds else 0.0

    def latency_ms(self, quantile: float) -> float:
        """A quantile of the latencies, such as 0.99."""
        return float(np.quantile(self.latencies_s, quantile)) * 1000 if self.latencies_s else 0.0

    def summary(self) -> dict[str, object]:
        """The figures, for the table and for JSON."""
        return {
            "what": self.what,
            "sessions": self.sessions,
            "frames": self.frames,
            "frames_per_s": round(self.frames_per_s),
            "p50_ms": round(self.latency_ms(0.5), 2),
            "p99_ms": round(self.latency_ms(0.99), 2),
            "workers": sorted(self.workers),
        }
