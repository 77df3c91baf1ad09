from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import numpy as np
import pytest

from direct_contact.client import BlockingClient, InputFailed, SessionOptions
from foundation.errors import Conflict, NotFound
from protos.dc.v1 import stream_pb2 as pb
from tests.support.scripted_stream import Peer, ScriptedStream, echo, echo_on, scripted_stream


def x(value: float) -> np.ndarray:
    return np.array([value], np.float32)


@pytest.fixture
def stream() -> Iterator[ScriptedStream]:
    """The scripted server in a thread of its own, because these tests block theirs."""
    ready = threading.Event()
    served: list[ScriptedStream] = []
    loop = asyncio.new_event_loop()
    done = asyncio.Event()

    async def serve() -> None:
        async with scripted_stream() as stream:
            served.append(stream)
            ready.set()
            await done.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    yield served[0]
    loop.call_soon_threadsafe(done.set)
    thread.join()
    loop.close()


def blocking(stream: ScriptedStream) -> BlockingClient:
    return BlockingClient(
        "http://test",
        "dck_test",
        options=SessionOptions(open_timeout_s=10),
        transport=httpx.MockTransport(stream._rest),
    )


def test_session_infers_sends_and_iterates_without_await(stream: ScriptedStream) -> None:
    stream.run(echo)
    with blocking(stream) as client, client.session("digits") as session:
        assert session.infer(x(1)).tolist() == [1]
        assert session.infer_full(x(2)).seq == 2
        assert session.send(x(3)) == 3
        for output in session:
            assert (output.seq, output.array.tolist()) == (3, [3])
            break
        assert [float(y[0]) for y in session.infer_many(x(v) for v in range(5))] == [0, 1, 2, 3, 4]
        for y in session.infer_many(x(v) for v in range(100)):
            assert y.tolist() == [0]
            break
        assert session.id == "ses_test"
        assert (session.network, session.version, session.mode) == ("digits", 3, "infer")
        assert (session.worker, session.epoch, session.connected) == ("worker-1", 1, True)
        assert session.stats.reconnects == 0
        assert session.notices == []
        session.detach()


def test_errors_are_raised_here(stream: ScriptedStream) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.input()
        error = pb.Error(code="invalid_input", message="wrong shape")
        await peer.send(outputs=[pb.Output(seq=1, last=True, error=error)])
        await echo_on(peer)

    stream.run(script)
    with blocking(stream) as client:
        with pytest.raises(NotFound):
            client.network("none")
        with client.session("digits") as session, pytest.raises(InputFailed, match="wrong shape"):
            session.infer(x(1))


def test_training_calls_back_on_the_callers_thread(stream: ScriptedStream) -> None:
    from tests.unit.direct_contact.client.test_training import XS, learning

    stream.run(learning([]))
    threads: set[threading.Thread] = set()
    with blocking(stream) as client, client.session("digits", mode="train") as session:
        last = session.train(
            XS, [1] * 10, on_progress=lambda _: threads.add(threading.current_thread())
        )
    assert (last.step, last.accuracy) == (1, 1.0)
    assert threads == {threading.current_thread()}


def test_closing_the_client_closes_its_sessions_and_its_thread(stream: ScriptedStream) -> None:
    stream.run(echo)
    client = blocking(stream)
    session = client.session("digits")
    session.open()
    assert session.infer(x(1)).tolist() == [1]
    client.close()
    client.close()
    with pytest.raises(Conflict, match="closed"):
        client.networks()
    assert not [t for t in threading.enumerate() if t.name == "direct-contact client"]


def test_calls_from_the_clients_own_thread_are_refused(stream: ScriptedStream) -> None:
    caught: list[Exception] = []

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.send(notice=pb.Notice(kind=pb.NOTICE_KIND_PAUSED))
        await echo_on(peer)

    with blocking(stream) as client:

        def on_notice(_: object) -> None:
            try:
                client.networks()
            except Conflict as error:
                caught.append(error)

        stream.run(script)
        with client.session("digits", on_notice=on_notice) as session:
            session.infer(x(1))
    assert len(caught) == 1


@contextmanager
def interrupted() -> Iterator[None]:
    with pytest.raises(KeyboardInterrupt):
        yield


def test_interrupt_cancels_what_was_under_way(
    stream: ScriptedStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.input()
        await peer.until(lambda frame: frame.HasField("cancel"))
        cancelled.set()
        await echo_on(peer)

    stream.run(script)
    with blocking(stream) as client, client.session("digits") as session:
        import concurrent.futures

        def interrupt(self: object, timeout: float | None = None) -> object:
            while session.stats.frames_sent < 2:
                threading.Event().wait(0.001)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, interrupted():
            patch.setattr(concurrent.futures.Future, "result", interrupt)
            session.infer(x(1))
        assert cancelled.wait(10)
