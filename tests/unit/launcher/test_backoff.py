from __future__ import annotations

from itertools import pairwise

from launcher.supervisor.backoff import FIRST_S, HEALTHY_S, LONGEST_S, Backoff


def test_backoff_doubles_up_to_its_limit_when_runs_are_short() -> None:
    backoff = Backoff()
    delays = [backoff.after(0.0) for _ in range(12)]
    bounds = [min(LONGEST_S, FIRST_S * 2**n) for n in range(12)]
    assert all(bound / 2 <= delay <= bound for delay, bound in zip(delays, bounds, strict=True))
    assert all(later >= earlier / 2 for earlier, later in pairwise(delays))


def test_backoff_starts_from_the_shortest_delay_when_a_run_was_healthy() -> None:
    backoff = Backoff()
    for _ in range(10):
        backoff.after(0.0)
    assert backoff.after(HEALTHY_S) <= FIRST_S
