"""Sessions whose model is elsewhere, on a stand-in for Triton; the real one is a system test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest

from protos.dc.v1.stream_pb2 import NOTICE_KIND_LOST, OUTCOME_NEW, Input
from protos.dc.v1.tensor_pb2 import Payload, Tensor
from registry.networks.manifest import Manifest
from registry.networks.triton.inspection import spec_of
from registry.networks.triton.server import TritonServer
from tests.support.conditions import until
from tests.support.fake_triton import FakeTriton
from tests.support.stack import TENANT, RawLink, Running, Stack, values


@asynccontextmanager
async def serving(stack: Stack) -> AsyncIterator[FakeTriton]:
    """The server, and its models as networks of the stack."""
    async with FakeTriton() as fake:
        server = TritonServer(fake.url)
        for model in ("scale", "total", "count"):
            spec = spec_of(
                await server.metadata(model, ""),
                await server.config(model, ""),
                name=model,
                url=fake.url,
                version="",
            )
            manifest = Manifest(
                tenant=TENANT,
                network=model,
                version=1,
                backend="triton",
                spec=spec.model_dump(mode="json"),
                stateful=spec.stateful,
            )
            await stack.networks.put_manifest(manifest)
        await server.close()
        yield fake


@pytest.fixture
async def triton(stack: Stack) -> AsyncIterator[FakeTriton]:
    """The server of a stack with the usual settings."""
    async with serving(stack) as fake:
        yield fake


def numbered(*xs: float, first: int = 1, datatype: str = "FP32") -> list[Input]:
    dtype, shape = ("<f4", [1, 1]) if datatype == "FP32" else ("<i4", [1])
    return [
        Input(
            seq=seq,
            payload=Payload(
                tensors=[Tensor(datatype=datatype, shape=shape, data=np.array(x, dtype).tobytes())]
            ).SerializeToString(),
        )
        for seq, x in enumerate(xs, first)
    ]


async def answers(link: RawLink, count: int) -> list[float]:
    return [values(one.payload).item() for one in await link.outputs(count)]


async def test_answers_leave_in_order_when_a_later_one_comes_first(
    stack: Stack, triton: FakeTriton
) -> None:
    async with stack.link(await stack.add_session("scale")) as link:
        assert (await link.greet()).outcome == OUTCOME_NEW
        await link.send(inputs=numbered(1100, 1, 2))
        assert await answers(link, 3) == [2200, 2, 4]


@pytest.mark.parametrize("limit", ["part_bytes", "answer_bytes"])
async def test_input_is_answered_with_an_error_when_its_answer_is_too_large(
    stack: Stack, triton: FakeTriton, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    calling = stack.processes[0].host.remote._calling
    async with stack.link(await stack.add_session("scale")) as link:
        await link.greet()
        with monkeypatch.context() as patch:
            patch.setattr(calling, "_bounds", replace(calling._bounds, **{limit: 8}))
            await link.send(inputs=numbered(1))
            (output,) = await link.outputs(1)
        assert output.error.code == "answer_too_large"
        await link.send(inputs=numbered(2, first=2))
        assert await answers(link, 1) == [4]


async def test_answer_comes_in_parts_when_the_model_is_decoupled(
    stack: Stack, triton: FakeTriton
) -> None:
    async with stack.link(await stack.add_session("count")) as link:
        await link.greet()
        await link.send(inputs=numbered(2, 0, 1, datatype="INT32"))
        places = [(one.seq, one.part, one.last) for one in await link.outputs(6)]
        assert places == [
            (1, 0, False), (1, 1, False), (1, 2, True), (2, 0, True), (3, 0, False), (3, 1, True)
        ]  # fmt: skip


async def test_range_is_lost_once_when_the_server_forgot_the_state(
    stack: Stack, triton: FakeTriton
) -> None:
    async with stack.link(await stack.add_session("total")) as link:
        await link.greet()
        await link.send(inputs=numbered(1, 2, 3))
        assert await answers(link, 3) == [1, 3, 6]
        triton.forget()
        await link.send(inputs=numbered(10, 20, first=4))
        lost, found = [], []
        while len(found) < 2:
            frame = await link.receive()
            if frame.notice.kind == NOTICE_KIND_LOST:
                lost.append((frame.notice.lost_from, frame.notice.lost_to))
            found += [values(one.payload).item() for one in frame.outputs]
        assert (lost, found) == ([(1, 3)], [10, 30])


async def test_sequences_end_when_their_sessions_do(stack: Stack, triton: FakeTriton) -> None:
    async with stack.link(await stack.add_session("total")) as link:
        await link.greet()
        await link.send(inputs=numbered(1))
        assert await answers(link, 1) == [1]
        assert len(triton.totals) == 1
        await link.send(bye={})
        await until(lambda: not triton.totals)


async def test_answer_is_too_large_when_it_has_many_small_parts(running: Running) -> None:
    async with (
        running(worker={"worker_remote_answer_bytes": 1024}) as stack,
        serving(stack),
        stack.link(await stack.add_session("count")) as link,
    ):
        await link.greet()
        await link.send(inputs=numbered(20, datatype="INT32"))
        parts = await link.outputs(1)
        while not parts[-1].last:
            parts += await link.outputs(1)
        assert parts[-1].error.code == "answer_too_large"
