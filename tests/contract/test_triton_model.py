"""What the triton backend asks of a server, and what it makes of the answers: a fake and Triton."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from ann_workers.backends.port import Request
from ann_workers.backends.remote import Part, RemoteState
from ann_workers.backends.triton.model import TritonModel
from foundation.errors import InvalidInput, NotFound, Unavailable
from protos.dc.v1.tensor_pb2 import Payload, Tensor
from registry.networks.triton.inspection import spec_of
from registry.networks.triton.server import TritonServer
from tests.support import triton as real
from tests.support.fake_triton import FakeTriton


@pytest.fixture(params=["fake", pytest.param("triton", marks=pytest.mark.system)])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "fake":
        async with FakeTriton() as fake:
            yield fake.url
        return
    server = real.TritonServer(tmp_path / "triton")
    await asyncio.to_thread(server.start)
    yield server.url
    await asyncio.to_thread(server.stop)


@pytest.fixture
async def server(url: str) -> AsyncIterator[TritonServer]:
    connected = TritonServer(url)
    yield connected
    await connected.close()


async def model(server: TritonServer, name: str) -> TritonModel:
    metadata, config = await server.metadata(name, ""), await server.config(name, "")
    spec = spec_of(metadata, config, name=name, url=server.url, version="")
    return TritonModel(spec, requests=8)


async def ask(
    of: TritonModel, array: np.ndarray, state: RemoteState | None = None
) -> list[tuple[list[float], bool]]:
    datatype = "INT32" if array.dtype.kind == "i" else "FP32"
    name = of.spec.inputs[0].name
    tensor = Tensor(name=name, datatype=datatype, shape=array.shape, data=array.tobytes())
    of.check([tensor])
    return [_read(part) async for part in of.compute(Request([tensor], state=state))]


def _read(part: Part) -> tuple[list[float], bool]:
    tensors = Payload.FromString(part.payload).tensors
    if not tensors:
        return [], part.last
    dtype = {"INT32": "<i4", "FP32": "<f4"}[tensors[0].datatype]
    return np.frombuffer(tensors[0].data, dtype).tolist(), part.last


def f(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


async def test_stateless_model_answers_once(server: TritonServer) -> None:
    scale = await model(server, "scale")
    assert scale.new_state() is None
    assert await ask(scale, f(1, 2)) == [([2, 4], True)]


async def test_state_is_kept_until_it_is_released(server: TritonServer) -> None:
    total = await model(server, "total")
    one, other = total.new_state(), total.new_state()
    assert one is not None
    assert other is not None
    assert one.key != other.key
    assert await ask(total, f(3), one) == [([3], True)]
    assert await ask(total, f(5), other) == [([5], True)]
    began = RemoteState(one.key, first=1, sending=2)
    assert await ask(total, f(4), began) == [([7], True)]
    with pytest.raises(InvalidInput, match="a negative x") as failed:
        await ask(total, f(-1), began)
    assert failed.value.code == "model_failed"
    assert await ask(total, f(1), began) == [([8], True)]
    await total.release(began)
    with pytest.raises(Unavailable) as raised:
        await ask(total, f(4), began)
    assert raised.value.code == "sequence_unknown"
    # Nobody knows it any more: that is no error.
    await total.release(began)


async def test_decoupled_model_answers_in_parts(server: TritonServer) -> None:
    count = await model(server, "count")
    n = np.array([3], np.int32)
    assert await ask(count, n) == [([0], False), ([1], False), ([2], False), ([], True)]
    with pytest.raises(InvalidInput, match="a negative n: -1"):
        await ask(count, -n // 3)


async def test_model_is_unknown_when_the_server_has_none_of_that_name(
    server: TritonServer,
) -> None:
    with pytest.raises(NotFound, match="unknown model: 'nobody'"):
        await server.metadata("nobody", "")
    assert not await server.ready("nobody", "")
