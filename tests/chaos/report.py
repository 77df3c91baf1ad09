"""What a run found: faults, violations, pauses, leftovers."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of them do not exceed; NaN of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass
class Report:
    """One run."""

    seed: int
    sessions: int
    faults: Counter[str] = field(default_factory=Counter)
    strikes: int = 0
    pauses_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """By what struck: each session's longest gap between two answers, from the strike until every
    session had answered inputs that were sent after it."""
    inputs: int = 0
    answered: int = 0
    lost: int = 0
    lost_ranges: int = 0
    reconnects: int = 0
    duration_s: float = 0.0
    leftovers: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Something was not as promised."""
        return bool(self.violations or self.leftovers)

    def as_json(self) -> dict[str, Any]:
        """Everything, the pauses as percentiles in milliseconds."""
        return {
            "seed": self.seed,
            "sessions": self.sessions,
            "faults": sum(self.faults.values()),
            "faults_by_kind": dict(sorted(self.faults.items())),
            "strikes": self.strikes,
            "duration_s": round(self.duration_s, 1),
            "inputs": self.inputs,
            "answered": self.answered,
            "told_lost": self.lost,
            "lost_ranges": self.lost_ranges,
            "reconnects": self.reconnects,
            "pauses_ms": {
                kind: {
                    "count": len(pauses),
                    "p50": round(1000 * percentile(pauses, 0.5), 1),
                    "p99": round(1000 * percentile(pauses, 0.99), 1),
                    "max": round(1000 * max(pauses), 1),
                }
                for kind, pauses in sorted(self.pauses_s.items())
            },
            "leftovers": self.leftovers,
            "violations": self.violations,
        }

    def lines(self) -> list[str]:
        """For people."""
        told = self.as_json()
        summary = (
            f"seed {self.seed}: {told['faults']} faults in {self.strikes} strikes on "
            f"{self.sessions} sessions in {self.duration_s:.0f} s"
        )
        counts = (
            f"{self.inputs} inputs, {self.answered} answered, {self.reconnects} reconnects, "
            f"{self.lost_ranges} times told LOST ({self.lost} inputs without an answer)"
        )
        lines = [
            summary,
            counts,
            "",
            f"{'struck by':<26}{'faults':>8}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}",
        ]
        for kind in sorted({*self.faults, *self.pauses_s}):
            pauses = told["pauses_ms"].get(kind)
            figures = (
                "".join(f"{pauses[name]:>10}" for name in ("p50", "p99", "max")) if pauses else ""
            )
            lines.append(f"{kind:<26}{self.faults.get(kind, '-'):>8}{figures}")
        lines += ["", *(f"LEFT {what}" for what in self.leftovers)]
        lines += [f"VIOLATION {what}" for what in self.violations]
        lines.append(
            f"{len(self.violations)} violations, {len(self.leftovers)} leftovers"
            if self.failed
            else "nothing lost, repeated, reordered or wrong; nothing left over"
        )
        return lines
