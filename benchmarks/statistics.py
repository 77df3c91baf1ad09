"""Medians, spreads and ratios of interleaved rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Summary:
    """One figure over the rounds."""

    values: tuple[float, ...]
    median: float
    low: float
    """The first quartile."""
    high: float
    """The third quartile."""

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Summarise; the order of the rounds stays in `values`.

        Raises:
            ValueError: there are none.
        """
        if not values:
            raise ValueError("nothing was measured")
        return cls(
            tuple(values), quantile(values, 0.5), quantile(values, 0.25), quantile(values, 0.75)
        )

    @property
    def spread(self) -> float:
        """The interquartile range as a share of the median."""
        return (self.high - self.low) / self.median if self.median else 0.0


def quantile(values: Sequence[float], share: float) -> float:
    """The quantile between the values, linearly interpolated."""
    ordered = sorted(values)
    at = (len(ordered) - 1) * share
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)


@dataclass(frozen=True, slots=True)
class Goal:
    """What has to be reached: `figure` of `who`, over that of `reference` where there is one."""

    figure: str
    who: str
    relation: str
    """`>=` or `<=`."""
    bound: float
    reference: str = ""
    """Whose figure is divided by: the ratio of the medians."""
    reference_figure: str = ""
    """Empty: the same figure."""
    unit: str = ""

    def __post_init__(self) -> None:
        if self.relation not in (">=", "<="):
            raise ValueError(f"relation must be >= or <=, got {self.relation!r}")

    def judge(self, figures: dict[tuple[str, str], Summary]) -> Judged:
        """Compare with what was measured, by (who, figure)."""
        measured = figures.get((self.who, self.figure))
        if measured is None:
            return Judged(self, None, None)
        value = measured.median
        if self.reference:
            base = figures.get((self.reference, self.reference_figure or self.figure))
            if base is None or not base.median:
                return Judged(self, None, None)
            value /= base.median
        met = value >= self.bound if self.relation == ">=" else value <= self.bound
        return Judged(self, value, met)


@dataclass(frozen=True, slots=True)
class Judged:
    """A goal and what came of it."""

    goal: Goal
    value: float | None
    """None: it was not measured."""
    met: bool | None

    @property
    def text(self) -> str:
        """In words: `2.31 × chain p50 (>= 2)`."""
        goal = self.goal
        if goal.reference:
            figure = goal.reference_figure
            of = f" × {goal.reference}" + (f" {figure}" if figure else "")
        else:
            of = f" {goal.unit}" if goal.unit else ""
        value = "—" if self.value is None else f"{self.value:.3g}"
        relation = {">=": "≥", "<=": "≤"}[goal.relation]
        return f"{goal.figure} {value}{of} ({relation} {goal.bound:g})"

    @property
    def verdict(self) -> str:
        """met, not met, or not measured."""
        return {True: "met", False: "not met", None: "not measured"}[self.met]
