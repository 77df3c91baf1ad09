"""What becomes of creating, reading and deleting networks on a real Triton."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from direct_contact.client import Client
from foundation.errors import Conflict, InvalidInput
from tests.support.triton import TritonServer, create, x


async def refused(client: Client, triton: TritonServer, **fields: str) -> InvalidInput:
    asked = {"name": f"n{secrets.token_hex(4)}", "backend": "triton", "url": triton.url}
    with pytest.raises(InvalidInput) as raised:
        await client.create_network(asked | fields)
    return raised.value


async def test_network_tells_what_the_server_told(client: Client, triton: TritonServer) -> None:
    name = f"n{secrets.token_hex(4)}"
    asked = {"name": name, "backend": "triton", "url": triton.url, "model": "total", "version": "1"}
    network = await client.create_network(asked)
    assert (network.stateful, network.trainable) == (True, False)
    assert network.spec == {
        "name": name,
        "url": triton.url,
        "model": "total",
        "version": "1",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1], "optional": False}],
        "outputs": [
            {"name": "total", "datatype": "FP32", "shape": [-1, 1], "optional": False},
            {"name": "sequence", "datatype": "UINT64", "shape": [-1, 1], "optional": False},
        ],
        "max_batch_size": 8,
        "stateful": True,
        "sequence_ids": "number",
        "decoupled": False,
    }


async def test_network_is_refused_when_its_model_is_unknown(
    client: Client, triton: TritonServer
) -> None:
    error = await refused(client, triton, model="nobody")
    assert (error.code, error.field) == ("unknown_model", "model")
    assert "model: 'nobody' is not served there" in error.message
    error = await refused(client, triton, model="total", version="7")
    assert error.code == "unknown_model"
    assert "'total' version 7 is not served there" in error.message


async def test_network_is_refused_when_its_model_is_not_ready(
    client: Client, triton: TritonServer
) -> None:
    await asyncio.to_thread(triton.unload, "echo")
    try:
        error = await refused(client, triton, model="echo")
    finally:
        await asyncio.to_thread(triton.load, "echo")
    assert (error.code, error.field) == ("unknown_model", "model")
    assert "has no available versions" in error.message


async def test_network_is_refused_when_the_url_is_the_http_port(
    client: Client, triton: TritonServer
) -> None:
    url = f"grpc://127.0.0.1:{triton.http_port}"
    error = await refused(client, triton, model="total", url=url)
    assert (error.code, error.field) == ("triton_unreachable", "url")
    assert "is it the gRPC port" in error.message


async def test_network_in_use_is_kept_and_the_session_named(
    client: Client, triton: TritonServer
) -> None:
    network = await create(client, triton, "total")
    async with client.session(network) as session:
        await session.infer_full(x(1))
        with pytest.raises(Conflict, match=session.id):
            await client.delete_network(network)
        assert (await session.infer_full(x(1))).array.item() == 2
    await client.delete_network(network)


async def test_session_is_refused_when_it_wants_to_train(
    client: Client, triton: TritonServer
) -> None:
    network = await create(client, triton, "scale")
    with pytest.raises(InvalidInput, match="it cannot train"):
        async with client.session(network, mode="train"):
            pass
