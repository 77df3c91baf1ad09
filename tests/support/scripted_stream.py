"""A server of the stream that does what a test's script says, on real sockets.

Each connection runs the next script. What a script raises fails the test at its end.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from direct_contact.client import Client, SessionOptions
from direct_contact.client.tensors import decode_payload, encode_payload
from protos.dc.v1 import stream_pb2 as pb

TIMEOUT_S = 15.0
PAYLOAD = encode_payload(np.zeros(1, np.float32))


class Peer:
    """The server's side of one connection."""

    def __init__(self, connection: ServerConnection, credential: str) -> None:
        self.connection = connection
        self.credential = credential
        self._inputs: deque[pb.Input] = deque()

    async def frame(self) -> pb.ClientFrame:
        """The next frame."""
        async with asyncio.timeout(TIMEOUT_S):
            message = await self.connection.recv()
        assert isinstance(message, bytes)
        return pb.ClientFrame.FromString(message)

    async def until(self, condition: Callable[[pb.ClientFrame], Any]) -> pb.ClientFrame:
        """The next frame of which `condition` holds; others are skipped, their inputs kept."""
        while True:
            frame = await self.frame()
            self._inputs.extend(frame.inputs)
            if condition(frame):
                return frame

    async def input(self) -> pb.Input:
        """The next input, whatever else comes with it."""
        while not self._inputs:
            self._inputs.extend((await self.frame()).inputs)
        return self._inputs.popleft()

    async def inputs(self, count: int) -> list[pb.Input]:
        """The next inputs."""
        return [await self.input() for _ in range(count)]

    async def send(self, **fields: Any) -> None:
        """Send a frame."""
        await self.connection.send(pb.ServerFrame(**fields).SerializeToString())

    async def hello(self) -> pb.Hello:
        """The first frame."""
        frame = await self.frame()
        assert frame.HasField("hello")
        return frame.hello

    async def welcome(self, **fields: Any) -> pb.Hello:
        """Await Hello and answer it."""
        hello = await self.hello()
        await self.send(welcome=welcome(**fields))
        return hello

    async def answer(self, seq: int, value: float, *, part: int = 0, last: bool = True) -> None:
        """Answer an input with one number."""
        await self.send(outputs=[output(seq, value, part=part, last=last)])

    def waiting(self) -> list[pb.Input]:
        """The inputs that came while something else was awaited."""
        waiting = list(self._inputs)
        self._inputs.clear()
        return waiting

    async def echo(self, inputs: list[pb.Input]) -> None:
        """Answer inputs with their own payloads, and move the credits."""
        if not inputs:
            return
        last = inputs[-1].seq
        await self.send(
            outputs=[pb.Output(seq=one.seq, last=True, payload=one.payload) for one in inputs],
            progress=pb.Progress(durable_seq=last, window_seq=last + 64, window_bytes=1 << 20),
        )

    async def close(self, code: int, reason: str = "") -> None:
        """Close with a code."""
        await self.connection.close(code, reason)

    def drop(self) -> None:
        """Break the connection without a close frame."""
        self.connection.transport.abort()

    async def gone(self) -> int | None:
        """Read until the client has closed; the code."""
        try:
            while True:
                await self.frame()
        except ConnectionClosed:
            return self.connection.close_code


def welcome(**fields: Any) -> pb.Welcome:
    """A Welcome with a window of 64 inputs."""
    given: dict[str, Any] = {
        "session_id": "ses_test",
        "outcome": pb.OUTCOME_NEW,
        "durable_seq": 0,
        "next_seq": 1,
        "window_seq": 64,
        "window_bytes": 1 << 20,
        "resume_token": "token",
        "resume_ttl_ms": 10_000,
        "ping_interval_ms": 10_000,
        "max_frame_bytes": 1 << 20,
        "epoch": 1,
        "worker": "worker-1",
    }
    return pb.Welcome(**(given | fields))


def output(seq: int, value: float, *, part: int = 0, last: bool = True) -> pb.Output:
    """An output of one number."""
    payload = encode_payload(np.array([value], np.float32))
    return pb.Output(seq=seq, part=part, last=last, payload=payload, queue_us=11, compute_us=22)


def number(one: pb.Input) -> float:
    """The number that an input carries."""
    return float(decode_payload(one.payload)[""].ravel()[0])


async def echo(peer: Peer) -> None:
    """Welcome, then answer every input with its own payload, until Bye or the end."""
    await peer.welcome()
    await echo_on(peer)


async def echo_on(peer: Peer) -> None:
    """Answer every input with its own payload, until Bye or the end.

    What came before and was not asked for is answered too; an answer that is there is a repetition.
    """
    try:
        await peer.echo(peer.waiting())
        while True:
            frame = await peer.frame()
            await peer.echo(list(frame.inputs))
            if frame.HasField("ping"):
                await peer.send(pong=pb.Pong(nonce=frame.ping.nonce))
            if frame.HasField("bye"):
                await peer.close(1000)
                return
    except ConnectionClosed:
        return


Script = Callable[[Peer], Awaitable[None]]


class ScriptedStream:
    """The server, and the REST API that leads to it."""

    def __init__(self) -> None:
        self.url = ""
        self.fallback_url = ""
        self.credentials: list[str] = []
        self.calls: list[tuple[str, str, Any]] = []
        self.refusals: deque[tuple[int, dict[str, str]]] = deque()
        """Handshakes to refuse before the next script runs."""
        self.answers: dict[tuple[str, str], list[tuple[int, Any]]] = {}
        """REST answers, by method and path; the last one stays."""
        self.failures: list[BaseException] = []
        self._scripts: asyncio.Queue[Script] = asyncio.Queue()
        self._tickets = itertools.count(1)
        self._running = 0

    def run(self, *scripts: Script) -> None:
        """What the next connections do."""
        for script in scripts:
            self._scripts.put_nowait(script)

    def client(self, *, patience_s: float = 10.0, **options: Any) -> Client:
        """A client of this service."""
        options = {"open_timeout_s": 10.0, **options}
        return Client(
            "http://test",
            "dck_test",
            patience_s=patience_s,
            options=SessionOptions(**options),
            transport=httpx.MockTransport(self._rest),
        )

    def called(self, method: str, path: str) -> list[Any]:
        """The bodies of the REST calls so far."""
        return [body for one, where, body in self.calls if (one, where) == (method, path)]

    # ------------------------------------------------------------ the two servers

    def _stream(self) -> dict[str, str | None]:
        return {
            "url": self.url,
            "fallback_url": self.fallback_url or None,
            "subprotocol": "dc.v1",
            "ticket": f"t{next(self._tickets)}",
        }

    def _rest(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/v1/")
        try:
            body: Any = json.loads(request.content) if request.content else None
        except ValueError:
            body = request.content
        self.calls.append((request.method, path, body))
        planned = self.answers.get((request.method, path))
        if planned:
            status, answer = planned.pop(0) if len(planned) > 1 else planned[0]
            return (
                answer
                if isinstance(answer, httpx.Response)
                else httpx.Response(status, json=answer)
            )
        match request.method, path:
            case "POST", "sessions":
                session = {"id": "ses_test", "network": body["network"], "version": 3}
                return httpx.Response(201, json={"session": session, "stream": self._stream()})
            case "POST", "sessions/ses_test/tickets":
                return httpx.Response(201, json={"stream": self._stream()})
            case "DELETE", "sessions/ses_test":
                return httpx.Response(204)
            case _:
                return httpx.Response(404, json={"detail": f"no {path}", "code": "not_found"})

    async def _serve(self, connection: ServerConnection) -> None:
        script = await self._scripts.get()
        self._running += 1
        try:
            await script(Peer(connection, self.credentials[-1]))
        except ConnectionClosed:
            pass
        except BaseException as failure:
            self.failures.append(failure)
            raise
        finally:
            self._running -= 1

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        offered = request.headers["Sec-WebSocket-Protocol"].split(", ")
        assert offered[0] == "dc.v1"
        self.credentials.append(offered[1])
        if self.refusals:
            status, headers = self.refusals.popleft()
            response = connection.respond(status, "refused\n")
            response.headers.update(headers)
            return response
        return None


@asynccontextmanager
async def scripted_stream() -> AsyncIterator[ScriptedStream]:
    """Serve on a free port of 127.0.0.1; at the end, raise what a script raised."""
    stream = ScriptedStream()
    async with serve(
        stream._serve,
        "127.0.0.1",
        0,
        subprotocols=[Subprotocol("dc.v1")],
        process_request=stream._admit,
        compression=None,
        ping_interval=None,
        close_timeout=1,
        max_size=1 << 26,
    ) as server:
        port = server.sockets[0].getsockname()[1]
        stream.url = f"ws://127.0.0.1:{port}/v1/stream"
        yield stream
    for failure in stream.failures:
        if not isinstance(failure, asyncio.CancelledError):
            raise failure
