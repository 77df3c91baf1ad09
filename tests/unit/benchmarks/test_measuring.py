"""What is made of what a load generator told."""

from __future__ import annotations

import pytest

from benchmarks.measuring import Observed, sample_of


def observed(*, awake: bool) -> Observed:
    result = {
        "answers": 1000,
        "duration_s": 2.0,
        "cpu_s": 0.5,
        "awake": awake,
        "latency_ms": {"p50": 0.2, "p99": 0.3},
    }
    return Observed(result, used_s={"worker": 0.1, "gateway": 0.05}, busy_s=0.7)


def test_sample_tells_what_the_generator_used_when_it_sleeps_between_answers() -> None:
    figures = sample_of(observed(awake=False)).figures
    assert figures["generator share"] == 0.25
    assert figures["generator µs"] == pytest.approx(500)


def test_sample_tells_nothing_of_the_generator_when_it_stays_awake() -> None:
    figures = sample_of(observed(awake=True)).figures
    assert not [name for name in figures if name.startswith("generator")]
    # What it used is not the servers', nor anybody else's.
    assert figures["server µs"] == pytest.approx(150)
    assert figures["others share"] == pytest.approx(0.025)
    assert figures["p99/p50"] == pytest.approx(1.5)
