from __future__ import annotations

import pytest

from benchmarks.statistics import Goal, Summary, quantile


def test_quantile_interpolates_when_it_lies_between_values() -> None:
    assert quantile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.5
    assert quantile([1.0, 2.0, 3.0, 4.0, 5.0], 0.25) == 2.0
    assert quantile([7.0], 0.75) == 7.0


def test_summary_keeps_the_order_of_the_rounds_when_it_finds_the_quartiles() -> None:
    summary = Summary.of([30.0, 10.0, 20.0])
    assert summary.values == (30.0, 10.0, 20.0)
    assert (summary.low, summary.median, summary.high) == (15.0, 20.0, 25.0)
    assert summary.spread == 0.5


def test_summary_refuses_when_nothing_was_measured() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        Summary.of([])


def test_goal_compares_the_ratio_of_medians_when_it_has_a_reference() -> None:
    goal = Goal("answers/s", "ours", ">=", 2.0, "chain")
    figures = {
        ("ours", "answers/s"): Summary.of([90.0, 110.0, 100.0]),
        ("chain", "answers/s"): Summary.of([40.0, 50.0, 60.0]),
    }
    judged = goal.judge(figures)
    assert judged.value == 2.0
    assert judged.verdict == "met"
    assert judged.text == "answers/s 2 × chain (≥ 2)"  # noqa: RUF001


def test_goal_divides_by_another_figure_when_one_is_named() -> None:
    goal = Goal("p50 ms", "ours", "<=", 0.5, "chain", "p99 ms")
    figures = {
        ("ours", "p50 ms"): Summary.of([3.0]),
        ("chain", "p99 ms"): Summary.of([4.0]),
    }
    judged = goal.judge(figures)
    assert judged.value == 0.75
    assert judged.verdict == "not met"


def test_goal_is_not_measured_when_a_figure_is_missing() -> None:
    goal = Goal("answers/s", "ours", ">=", 2.0, "chain")
    judged = goal.judge({("ours", "answers/s"): Summary.of([90.0])})
    assert judged.value is None
    assert judged.verdict == "not measured"


def test_goal_refuses_when_its_relation_is_unknown() -> None:
    with pytest.raises(ValueError, match="relation must be"):
        Goal("answers/s", "ours", "==", 2.0)
