from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.load.meter import Meter, histogram_us, percentiles_ms
from benchmarks.load.plan import Door, Plan

DOOR = Door("127.0.0.1", 1, talk="stream", subprotocols=("dc.v1", "dc.ticket.x"))


def test_plan_survives_json_when_it_is_handed_to_the_generator() -> None:
    plan = Plan(doors=(DOOR,), payload=b"\x00\xff", expected=(0.5,), cpus=(1,), rate=10.0)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"doors": ()}, "doors"),
        ({"outstanding": 0}, "outstanding"),
        ({"measure_s": 601.0}, "measure_s"),
        ({"rate": -1.0}, "rate"),
    ],
)
def test_plan_refuses_when_a_number_is_out_of_bounds(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be"):
        Plan(**{"doors": (DOOR,), "payload": b"", **changes})


def test_meter_counts_by_second_when_it_runs() -> None:
    meter = Meter()
    meter.start()
    began = meter._started_at
    meter.count(3, began + 0.5)
    meter.count(2, began + 2.1)
    meter.took(0.001)
    meter.took(0.003)
    assert meter.answers == 5
    assert meter.per_second == [3, 0, 2]
    assert percentiles_ms(meter.latencies, (0, 100)) == {"p0": 1.0, "p100": 3.0}
    assert sum(count for _, count in histogram_us(meter.latencies)) == 2
