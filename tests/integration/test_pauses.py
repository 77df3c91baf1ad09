"""Pauses that outlive the worker that was told, on a launched stack."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest

from direct_contact.client import Client
from tests.support.conditions import until
from tests.support.launched import LaunchedStack

STATELESS: dict[str, Any] = {"layers": [{"type": "dense", "units": 2}]}
STATEFUL: dict[str, Any] = {"layers": [{"type": "gru", "units": 2}]}


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with LaunchedStack(tmp_path_factory.mktemp("stack"), "--workers", "2") as stack:
        yield stack


@pytest.mark.parametrize("spec", [STATELESS, STATEFUL], ids=["stateless", "stateful"])
async def test_paused_session_stays_so_when_its_worker_is_killed(
    launched: LaunchedStack, spec: dict[str, Any]
) -> None:
    x = np.ones(3, np.float32)
    name = f"paused-{spec['layers'][0]['type']}"
    async with Client(launched.ready["rest_url"], launched.ready["api_key"]) as client:
        await client.create_network(
            {"name": name, "input": {"datatype": "FP32", "shape": [3]}, **spec}
        )
        async with client.session(name) as session:
            await session.infer(x)
            assert (await session.command("pause"))["after_seq"] == 1
            pid = {one.name: one.pid for one in await client.workers()}[session.worker]
            epoch = session.epoch
            os.kill(pid, signal.SIGKILL)
            await until(lambda: session.epoch > epoch, timeout_s=30)
            for seq in (2, 3):
                assert await session.send(x) == seq
            async with client.session(name) as witness:
                for _ in range(3):
                    await witness.infer(x)
            # Nothing was computed before it.
            assert (await session.command("resume"))["after_seq"] == 1
            assert [(await anext(session)).seq for _ in range(2)] == [2, 3]
