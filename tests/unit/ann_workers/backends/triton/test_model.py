from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ann_workers.backends.remote import RemoteState
from ann_workers.backends.triton import model
from ann_workers.backends.triton.model import TritonModel
from registry.networks.triton.spec import TritonSpec, TritonTensor
from tests.support.fake_triton import FakeTriton


class HangingTriton(FakeTriton):
    """Takes requests and answers none."""

    async def _infer(self, request: Any, context: Any) -> Any:
        await asyncio.Event().wait()


async def test_release_ends_when_the_server_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "RELEASE_S", 0.1)
    async with HangingTriton() as triton:
        x = TritonTensor(name="x", datatype="FP32", shape=(-1, 1))
        spec = TritonSpec(
            name="n", url=triton.url, model="total", version="1", inputs=(x,), outputs=(x,),
            stateful=True,
        )  # fmt: skip
        async with asyncio.timeout(10):
            await TritonModel(spec, requests=1).release(RemoteState("7", first=1))
