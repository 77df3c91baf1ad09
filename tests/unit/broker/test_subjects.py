from __future__ import annotations

from broker import subjects


def test_subjects_are_those_of_the_design_when_named() -> None:
    assert subjects.worker_in("w1") == "dc.w.w1.in"
    assert subjects.worker_commands("w1") == "dc.w.w1.cmd"
    assert subjects.gateway_out("g1") == "dc.g.g1.out"
    assert subjects.gateway_undelivered("g1", "w1") == "dc.g.g1.undelivered.w1"
    assert subjects.worker_undelivered("w1", "g1") == "dc.w.w1.undelivered.g1"
    assert subjects.offers("default") == "dc.pool.default.offer"
