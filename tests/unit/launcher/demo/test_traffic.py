from __future__ import annotations

from launcher.demo.failing import DemoFailed
from launcher.demo.traffic import Traffic


def test_traffic_sums_up_when_frames_came() -> None:
    with Traffic("answering", sessions=2) as traffic:
        traffic.latencies_s.extend([0.001, 0.002, 0.003])
    traffic.workers.update({"b", "a"})
    summary = traffic.summary()
    assert summary["frames"] == 3
    assert summary["p50_ms"] == 2.0
    assert summary["workers"] == ["a", "b"]
    assert traffic.frames_per_s > 0


def test_traffic_has_no_latency_when_nothing_came() -> None:
    assert Traffic("idle").summary()["p99_ms"] == 0.0


def test_exit_code_names_the_step_when_it_failed() -> None:
    assert DemoFailed(3, "title", "why").exit_code == 13
