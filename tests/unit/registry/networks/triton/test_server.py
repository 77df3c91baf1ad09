from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from foundation.errors import CallerError, InvalidInput, Unavailable
from protos.dc.triton.v1.inference_pb2 import InferRequest
from registry.networks.triton.server import SERVICE, TritonServer
from tests.support.fake_triton import FakeTriton


async def _garbage(_request: bytes, _context: object) -> bytes:
    return b"\xff\xff\xff\xff"


@pytest.fixture
async def other() -> AsyncIterator[str]:
    """A server that has Triton's methods, but other messages."""
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(_garbage)
    names = ("ModelReady", "ModelMetadata", "ModelConfig", "ModelInfer")
    methods = dict.fromkeys(names, handler)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE.strip("/"), methods),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"grpc://127.0.0.1:{port}"
    await server.stop(None)


async def test_server_is_no_triton_when_its_answers_do_not_decode(other: str) -> None:
    server = TritonServer(other)
    for asked in (server.ready, server.metadata, server.config):
        with pytest.raises(CallerError) as raised:
            await asked("m", "")
        assert raised.value.code == "not_triton"
    with pytest.raises(InvalidInput, match="does not decode") as failed:
        await server.infer(InferRequest())
    assert failed.value.code == "model_failed"
    await server.close()


async def test_host_is_no_path_when_it_has_the_name_of_a_scheme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server = grpc.aio.server()
    server.add_insecure_port("unix:8001")
    await server.start()
    connected = TritonServer("grpc://unix:8001")
    with pytest.raises(Unavailable):
        await connected.metadata("m", "")
    await connected.close()
    await server.stop(None)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux only")
async def test_connection_is_given_up_when_nothing_acknowledges_what_is_sent() -> None:
    async with FakeTriton() as fake:
        server = TritonServer(fake.url)
        assert await server.ready("scale", "")
        assert 0 < _user_timeout_ms(int(fake.url.rpartition(":")[2])) <= 20_000
        await server.close()


def _user_timeout_ms(port: int) -> int:
    """The limit of this process's connection to the port."""
    for path in Path("/proc/self/fd").iterdir():
        try:
            if not str(path.readlink()).startswith("socket:"):
                continue
        except FileNotFoundError:
            # The directory itself, while it was listed.
            continue
        with socket.socket(fileno=os.dup(int(path.name))) as found:
            try:
                if found.getpeername()[1] == port:
                    return found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            except (OSError, IndexError):
                continue  # It listens, or is of Unix.
    raise AssertionError("no connection")
