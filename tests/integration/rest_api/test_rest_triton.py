"""Triton networks over REST, where it needs no Triton: roles, fields, servers that are none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import httpx
import pytest

from tests.integration.rest_api.conftest import RestApi, Start
from tests.support.servers import free_port

ASKED = {"name": "net", "backend": "triton", "url": "grpc://127.0.0.1:1", "model": "m"}


def problem(answer: httpx.Response) -> tuple[int, str, str, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    field = (told.get("errors") or [{}])[0].get("field", "")
    return answer.status_code, told["code"], field, told["detail"]


async def post(api: httpx.AsyncClient, **fields: Any) -> tuple[int, str, str, str]:
    return problem(await api.post("/v1/networks", json=ASKED | fields))


@pytest.fixture
async def silent() -> AsyncIterator[int]:
    """The port of a server that accepts connections and says nothing."""
    opened: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: opened.append(writer), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for writer in opened:
        writer.close()
    await server.wait_closed()


@pytest.fixture
async def other_grpc() -> AsyncIterator[int]:
    """The port of a gRPC server that has other methods."""
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield port
    await server.stop(None)


async def test_server_is_named_by_operators_only(rest: RestApi) -> None:
    admin = await rest.client(rest.admin_key)
    made = await admin.post("/v1/keys", json={"name": "u", "role": "user"})
    user = await rest.client(made.json()["key"])
    status, code, field, detail = await post(user)
    assert (status, code, field) == (403, "role_too_low", "backend")
    assert "needs the role operator" in detail


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "http://127.0.0.1:8000"),
        ("url", "grpc://127.0.0.1"),
        ("url", "grpc://user:pass@host:8001"),
        ("url", "grpc://host:8001/path"),
        ("url", "unix:///run/triton"),
        ("url", 5),
        ("model", ""),
        ("model", "a/b"),
        ("version", "latest"),
        ("version", "-1"),
        ("name", "No Name"),
        ("spec", {}),
    ],
)
async def test_field_is_named_when_it_is_wrong(
    api: httpx.AsyncClient, field: str, value: object
) -> None:
    status, code, named, _ = await post(api, **{field: value})
    assert (status, code, named) == (422, "invalid_input", field)


async def test_server_is_refused_when_it_is_not_among_the_allowed(start_rest: Start) -> None:
    rest = await start_rest(rest_triton_servers="triton-*.internal:8001,127.0.0.1:1")
    api = await rest.client(rest.admin_key)
    status, code, field, detail = await post(api, url="grpc://169.254.169.254:80")
    assert (status, code, field) == (403, "server_not_allowed", "url")
    assert "169.254.169.254:80" in detail
    assert "DC_REST_TRITON_SERVERS" in detail
    assert (await post(api))[1] == "triton_unreachable"
    status, code, *_ = await post(api, url="grpc://triton-a.internal:8001")
    assert (status, code) == (422, "triton_unreachable")


async def test_server_is_refused_when_it_does_not_answer(api: httpx.AsyncClient) -> None:
    port = free_port()
    status, code, field, detail = await post(api, url=f"grpc://127.0.0.1:{port}")
    assert (status, code, field) == (422, "triton_unreachable", "url")
    assert f"127.0.0.1:{port} does not answer" in detail


async def test_server_is_refused_when_it_answers_too_slowly(start_rest: Start, silent: int) -> None:
    rest = await start_rest(rest_triton_timeout_s=0.2)
    api = await rest.client(rest.admin_key)
    status, code, field, detail = await post(api, url=f"grpc://127.0.0.1:{silent}")
    assert (status, code, field) == (422, "triton_timeout", "url")
    assert "within 0.2 s (DC_REST_TRITON_TIMEOUT_S)" in detail


async def test_server_is_refused_when_it_is_another_one(
    api: httpx.AsyncClient, rest: RestApi, other_grpc: int
) -> None:
    status, code, field, detail = await post(api, url=f"grpc://127.0.0.1:{other_grpc}")
    assert (status, code, field) == (422, "not_triton", "url")
    assert "is no Triton" in detail
    # An HTTP server, such as Triton's own other port.
    status, code, field, detail = await post(api, url=rest.url.replace("http", "grpc"))
    assert (status, code, field) == (422, "triton_unreachable", "url")
    assert "is it the gRPC port" in detail
