"""A work: variants that are measured in turn, round by round, and goals for their medians."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measuring import LoadFailed, Sample
from benchmarks.statistics import Goal, Judged, Summary
from foundation.errors import DirectContactError

CHAIN = "chain"
WEBSOCKETS, PICOWS = "websockets in place", "picows in place"
WEBSOCKETS_ECHO, PICOWS_ECHO = "websockets echo", "picows echo"
NATS = "NATS request/reply"
BROKER, DIRECT = "ours (broker)", "ours (direct)"
BUNDLED = "ours (bundled)"


@dataclass(frozen=True, slots=True)
class Context:
    """What every work is given."""

    directory: Path
    """Empty, its own."""
    rounds: int
    measure_s: float
    warm_s: float
    load_cpus: tuple[int, ...] = ()
    only: frozenset[str] = frozenset()
    """Variants to measure; empty: all."""
    say: Callable[[str], None] = lambda _text: None


@dataclass(frozen=True, slots=True)
class Variant:
    """One column of a comparison."""

    name: str
    measure: Callable[[], Awaitable[Sample]]
    attempts: int = 2
    """A measurement that fails is repeated, up to so many in a round."""


Prepare = Callable[[Context], AbstractAsyncContextManager[Sequence[Variant]]]


@dataclass(frozen=True, slots=True)
class Work:
    """One thing that is measured.

    Args:
        name: for `--only`.
        title: for people.
        shown: the figures that the table shows.
        prepare: starts what is measured, and stops it.
        goals: judged on the medians.
    """

    name: str
    title: str
    shown: tuple[str, ...]
    prepare: Prepare
    goals: tuple[Goal, ...] = ()
    base: str = ""
    """A variant: the first figure of the others is shown as a multiple of its."""
    rounds: int = 0
    """At most so many; 0: as many as asked for."""


@dataclass(slots=True)
class Finding:
    """What one work found."""

    work: Work
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Why a variant has no figures."""
    failed: Counter[str] = field(default_factory=Counter)
    """How many measurements of a variant failed and were repeated."""
    took_s: float = 0.0

    def summaries(self) -> dict[tuple[str, str], Summary]:
        """Every figure of every variant, by (variant, figure)."""
        found = {}
        for who, samples in self.samples.items():
            for figure in dict.fromkeys(name for s in samples for name in s.figures):
                values = [s.figures[figure] for s in samples if figure in s.figures]
                found[who, figure] = Summary.of(values)
        return found

    def judged(self) -> list[Judged]:
        """The goals and what came of them."""
        figures = self.summaries()
        return [goal.judge(figures) for goal in self.work.goals]

    def server_us(self, who: str) -> dict[str, float]:
        """The median CPU time an answer of each process of a variant, in µs."""
        samples = self.samples.get(who, [])
        roles = dict.fromkeys(role for sample in samples for role in sample.server_us)
        return {
            role: Summary.of([s.server_us.get(role, 0.0) for s in samples]).median for role in roles
        }


async def _measured(variant: Variant, finding: Finding) -> Sample:
    for _ in range(variant.attempts - 1):
        try:
            return await variant.measure()
        except LoadFailed:
            finding.failed[variant.name] += 1
    return await variant.measure()


async def measure(work: Work, context: Context) -> Finding:
    """Run the rounds: A B C A B C …, so that a disturbance meets all variants alike.

    A variant that fails in every attempt of a round is left out, with the reason.
    """
    finding = Finding(work)
    started_at = time.monotonic()
    context.directory.mkdir(parents=True, exist_ok=True)
    rounds = min(context.rounds, work.rounds) if work.rounds else context.rounds
    async with work.prepare(context) as variants:
        chosen = [v for v in variants if not context.only or v.name in context.only]
        for number in range(rounds):
            for variant in chosen:
                if variant.name in finding.skipped:
                    continue
                context.say(f"{work.name}: round {number + 1} of {rounds}, {variant.name}")
                try:
                    sample = await _measured(variant, finding)
                except (LoadFailed, DirectContactError) as error:
                    finding.skipped[variant.name] = str(error)
                    finding.samples.pop(variant.name, None)
                    continue
                finding.samples.setdefault(variant.name, []).append(sample)
    finding.took_s = time.monotonic() - started_at
    return finding


Prepared = AsyncIterator[Sequence[Variant]]
