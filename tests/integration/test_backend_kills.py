"""Inputs that end the process that computes them, on a launched stack."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import numpy as np
import pytest

from direct_contact.client import Client
from direct_contact.client.errors import InputFailed
from tests.support import faulty
from tests.support.launched import ROOT, LaunchedStack

INPUTS = 40
WAIT_S = 60.0


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaunchedStack]:
    path = faulty.install(tmp_path_factory.mktemp("path"))
    with LaunchedStack(
        tmp_path_factory.mktemp("stack"),
        "--workers",
        "2",
        PYTHONPATH=os.pathsep.join((str(path), str(ROOT))),
        DC_WORKER_COMPUTE_TIMEOUT_S="1",
    ) as stack:
        yield stack


@pytest.mark.parametrize(
    ("bad", "code"), [(faulty.KILL, "input_quarantined"), (faulty.HANG, "compute_timeout")]
)
@pytest.mark.parametrize("stateful", [True, False])
async def test_input_that_ends_workers_is_skipped_and_costs_no_other_session(
    launched: LaunchedStack, bad: float, code: str, stateful: bool
) -> None:
    name = f"net{abs(int(bad))}{'s' if stateful else ''}"
    async with Client(launched.ready["rest_url"], launched.ready["api_key"]) as client:
        await client.create_network(
            {
                "name": name,
                "backend": "faulty",
                "spec": {"stateful": stateful},
                "stateful": stateful,
            }
        )

        async def answers(xs: list[float]) -> list[float | str]:
            async with client.session(name) as session:
                found: list[float | str] = []
                for x in xs:
                    try:
                        y = await session.infer(np.array([x], np.float32), timeout_s=WAIT_S)
                        found.append(float(y[0]))
                    except InputFailed as error:
                        found.append(error.code)
                    await asyncio.sleep(0.02)
                return found

        good = [float(x) for x in range(1, INPUTS + 1)]
        wrong = [*good[:10], bad, *good[10:]]
        other, found = await asyncio.gather(answers(good), answers(wrong))
    expected = list(np.cumsum(good)) if stateful else good
    assert other == expected
    assert found == [*expected[:10], code, *expected[10:]]
