from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from foundation.errors import InvalidInput, NotFound, Unavailable
from launcher.rest import Rest


@asynccontextmanager
async def answering(answer: bytes, heard: list[bytes]) -> AsyncIterator[str]:
    """A server that gives everybody this answer, by its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/prefix/"


async def test_rest_asks_with_the_key_and_below_the_path_of_its_url() -> None:
    heard: list[bytes] = []
    async with answering(b'HTTP/1.1 200 OK\r\nx: y\r\n\r\n{"replicas": 2}', heard) as url:
        assert await Rest(url, "dck_key").pool("default") == {"replicas": 2}
    assert heard[0].startswith(b"GET /prefix/v1/pools/default HTTP/1.0\r\nHost: 127.0.0.1:")
    assert b"\r\nAuthorization: Bearer dck_key\r\n" in heard[0]


async def test_rest_raises_what_a_problem_tells() -> None:
    body = b'HTTP/1.1 404 Not Found\r\n\r\n{"detail": "there is no pool"}'
    async with answering(body, []) as url:
        with pytest.raises(NotFound, match="answered 404: there is no pool"):
            await Rest(url, "dck_key").pool("none")


@pytest.mark.parametrize("answer", [b"", b"220 mail.example.org\r\n", b"HTTP/1.1 200 OK\r\n\r\nhi"])
async def test_rest_is_unavailable_when_something_else_answers(answer: bytes) -> None:
    async with answering(answer, []) as url:
        with pytest.raises(Unavailable, match="answer"):
            await Rest(url, "dck_key").pool("default")


async def test_rest_is_unavailable_when_nobody_answers_in_time() -> None:
    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable, match=r"does not answer \(TimeoutError\)"):
            await Rest(f"http://127.0.0.1:{port}", "key", timeout_s=0.05).pool("default")
        await left.wait()


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://x", "http://x:port", "http://[::1"])
def test_rest_refuses_a_url_when_it_is_not_one_of_http(url: str) -> None:
    with pytest.raises(InvalidInput, match="not an HTTP URL"):
        Rest(url, "dck_key")


async def test_rest_refuses_a_key_when_it_would_be_another_header() -> None:
    with pytest.raises(InvalidInput, match="no header may"):
        await Rest("http://127.0.0.1:1", "key\r\nX-Other: 1").pool("default")
