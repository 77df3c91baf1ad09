"""Which cores a process of the stack is bound to."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from launcher.embedded.cores import usable_cores
from launcher.embedded.nats import nats_cores, nats_environment
from launcher.embedded.tether import tethered


@pytest.mark.parametrize(
    ("allowed", "chosen"),
    [
        ({0}, {0}),
        ({0, 1}, {1}),
        ({2, 5, 9}, {9}),
        (set(range(8)), {6, 7}),
        (set(range(64)), set(range(48, 64))),
    ],
)
def test_nats_gets_a_quarter_of_the_cores_when_it_shares_the_machine(
    allowed: set[int], chosen: set[int]
) -> None:
    assert nats_cores(allowed) == chosen
    assert nats_environment(chosen) == {"GOMAXPROCS": str(len(chosen))}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux binds to cores")
async def test_process_stays_on_its_cores_when_it_is_bound() -> None:
    look = "import json, os; print(json.dumps(sorted(os.sched_getaffinity(0))))"
    last = max(usable_cores())
    for cores, expected in (((last,), [last]), ((), sorted(usable_cores()))):
        command = tethered([sys.executable, "-c", look], cores=cores)
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        told = await process.stdout.read()
        assert await process.wait() == 0
        assert json.loads(told) == expected
