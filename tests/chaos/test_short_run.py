"""A short seeded run of every kind of fault, under the rules of the long ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.faults import KINDS, schedule
from tests.chaos.run import Run, run


@pytest.mark.timeout(300)
async def test_nothing_is_lost_when_every_kind_of_fault_strikes(tmp_path: Path) -> None:
    report = await run(
        Run(
            tmp_path,
            seed=3,
            faults=len(KINDS) + 6,
            sessions=6,
            workers=3,
            gateways=2,
            # Faults that wait for time-outs take half as long.
            environment={"DC_WORKER_LEASE_MS": "1000", "DC_GATEWAY_WORKER_SILENCE_S": "1.0"},
        )
    )
    assert not report.failed, "\n".join(report.lines())
    assert set(report.faults) == set(KINDS)
    assert report.answered > 100 * report.sessions


def test_schedule_is_the_same_when_the_seed_is() -> None:
    kinds = list(KINDS)
    assert schedule(5, 200, kinds) == schedule(5, 200, kinds)
    assert schedule(5, 200, kinds) != schedule(6, 200, kinds)
    assert sum(len(strike.kinds) for strike in schedule(5, 200, kinds)) == 200
