"""The client for notebooks and scripts: the same names, called without ``await``.

One thread runs the asynchronous client; every call here waits for it. Any thread may call.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from direct_contact.client.client import Client
from direct_contact.client.output import Notice, Output, SessionStats
from direct_contact.client.records import (
    ApiKey,
    Network,
    NetworkVersion,
    Pool,
    SessionInfo,
    Worker,
)
from direct_contact.client.session import ANSWER_TIMEOUT_S, Mode, OnNotice, Session
from direct_contact.client.tensors import Array, PayloadLike, TensorLike
from direct_contact.client.training import OnProgress, TrainingProgress
from foundation.errors import Conflict

ResultT = TypeVar("ResultT")


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="direct-contact client", daemon=True
        )
        self._thread.start()

    def wait(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Run it there and wait for its result; an interrupt here cancels it there."""
        if self._loop.is_closed():
            work.close()
            raise Conflict("client: it is closed")
        if threading.current_thread() is self._thread:
            work.close()
            raise Conflict("client: a callback on the client's own thread can't wait for it")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the thread; repeating does nothing."""
        if self._loop.is_closed():
            return
        self.wait(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _make(rest_url: str, api_key: str, options: dict[str, Any]) -> Client:
    return Client(rest_url, api_key, **options)


class BlockingClient:
    """`Client` without ``await``. Use it with ``with``, or call `close` at the end::

        with BlockingClient("http://127.0.0.1:8000", key) as client:
            with client.session("digits") as session:
                scores = session.infer(image)

    Args: see `Client`.
    """

    def __init__(self, rest_url: str, api_key: str, **options: Any) -> None:
        self._thread = LoopThread()
        self._sessions: list[BlockingSession] = []
        self._closed = False
        try:
            self._client = self._thread.wait(_make(rest_url, api_key, options))
        except BaseException:
            self._thread.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every session and the client; repeating does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            while self._sessions:
                self._sessions.pop().close()
            self._thread.wait(self._client.close())
        finally:
            self._thread.stop()

    def session(
        self,
        network: str,
        version: int | str | None = None,
        mode: Mode = "infer",
        config: dict[str, Any] | None = None,
        *,
        on_notice: OnNotice | None = None,
    ) -> BlockingSession:
        """See `Client.session`. `on_notice` is called on the client's thread."""

        async def make() -> Session:
            return self._client.session(network, version, mode, config, on_notice=on_notice)

        session = BlockingSession(self._thread, self._thread.wait(make()))
        self._sessions.append(session)
        return session

    def sessions(self, network: str | None = None) -> list[SessionInfo]:
        """See `Client.sessions`."""
        return self._thread.wait(self._client.sessions(network))

    def end_session(self, session: str) -> None:
        """See `Client.end_session`."""
        self._thread.wait(self._client.end_session(session))

    def create_network(self, spec: Mapping[str, Any]) -> Network:
        """See `Client.create_network`."""
        return self._thread.wait(self._client.create_network(spec))

    def create_onnx_network(
        self,
        name: str,
        file: bytes | Path,
        state: Sequence[Mapping[str, Any]] = (),
        *,
        batch: Literal["auto", "off"] = "auto",
    ) -> Network:
        """See `Client.create_onnx_network`."""
        return self._thread.wait(self._client.create_onnx_network(name, file, state, batch=batch))

    def network(self, name: str) -> Network:
        """See `Client.network`."""
        return self._thread.wait(self._client.network(name))

    def networks(self) -> list[Network]:
        """See `Client.networks`."""
        return self._thread.wait(self._client.networks())

    def delete_network(self, name: str) -> None:
        """See `Client.delete_network`."""
        self._thread.wait(self._client.delete_network(name))

    def versions(self, name: str) -> list[NetworkVersion]:
        """See `Client.versions`."""
        return self._thread.wait(self._client.versions(name))

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """See `Client.set_alias`."""
        self._thread.wait(self._client.set_alias(name, alias, version))

    def get_weights(self, name: str, version: int | str) -> bytes:
        """See `Client.get_weights`."""
        return self._thread.wait(self._client.get_weights(name, version))

    def get_onnx(self, name: str, version: int | str) -> bytes:
        """See `Client.get_onnx`."""
        return self._thread.wait(self._client.get_onnx(name, version))

    def put_weights(
        self, name: str, version: int | str, weights: bytes, *, promote: bool = False
    ) -> NetworkVersion:
        """See `Client.put_weights`."""
        return self._thread.wait(self._client.put_weights(name, version, weights, promote=promote))

    def workers(self, pool: str | None = None) -> list[Worker]:
        """See `Client.workers`."""
        return self._thread.wait(self._client.workers(pool))

    def pools(self) -> list[Pool]:
        """See `Client.pools`."""
        return self._thread.wait(self._client.pools())

    def pool(self, name: str) -> Pool:
        """See `Client.pool`."""
        return self._thread.wait(self._client.pool(name))

    def scale(self, pool: str, replicas: int) -> Pool:
        """See `Client.scale`."""
        return self._thread.wait(self._client.scale(pool, replicas))

    def create_key(self, name: str, role: str, *, tenant: str | None = None) -> ApiKey:
        """See `Client.create_key`."""
        return self._thread.wait(self._client.create_key(name, role, tenant=tenant))

    def keys(self) -> list[ApiKey]:
        """See `Client.keys`."""
        return self._thread.wait(self._client.keys())

    def delete_key(self, key: str) -> None:
        """See `Client.delete_key`."""
        self._thread.wait(self._client.delete_key(key))


class BlockingSession:
    """`Session` without ``await``. Use it with ``with``, or call `open` and `close`.

    Iterating yields outputs and waits for the next one; it ends when the session is closed.
    """

    def __init__(self, thread: LoopThread, session: Session) -> None:
        self._thread = thread
        self._session = session

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """See `Session.open`."""
        self._thread.wait(self._session.open())

    def attach(self) -> None:
        """See `Session.attach`."""
        self._thread.wait(self._session.attach())

    def detach(self) -> None:
        """See `Session.detach`."""
        self._thread.wait(self._session.detach())

    def close(self) -> None:
        """See `Session.close`."""
        self._thread.wait(self._session.close())

    def infer(
        self,
        x: PayloadLike,
        target: TensorLike | None = None,
        *,
        budget_ms: int = 0,
        timeout_s: float | None = ANSWER_TIMEOUT_S,
    ) -> Array:
        """See `Session.infer`."""
        return self._thread.wait(
            self._session.infer(x, target, budget_ms=budget_ms, timeout_s=timeout_s)
        )

    def infer_full(
        self,
        x: PayloadLike,
        target: TensorLike | None = None,
        *,
        budget_ms: int = 0,
        timeout_s: float | None = ANSWER_TIMEOUT_S,
    ) -> Output:
        """See `Session.infer_full`."""
        return self._thread.wait(
            self._session.infer_full(x, target, budget_ms=budget_ms, timeout_s=timeout_s)
        )

    def infer_many(
        self,
        inputs: Iterable[PayloadLike],
        *,
        window: int = 64,
        timeout_s: float | None = ANSWER_TIMEOUT_S,
    ) -> Iterator[Array]:
        """See `Session.infer_many`. `inputs` is iterated on the client's thread."""

        async def start() -> AsyncIterator[Array]:
            return self._session.infer_many(inputs, window=window, timeout_s=timeout_s)

        answers = self._thread.wait(start())
        return self._iterate(answers)

    def send(self, x: PayloadLike, target: TensorLike | None = None, *, budget_ms: int = 0) -> int:
        """See `Session.send`."""
        return self._thread.wait(self._session.send(x, target, budget_ms=budget_ms))

    def __iter__(self) -> Iterator[Output]:
        return self._iterate(self._session)

    def _iterate(self, source: AsyncIterator[ResultT]) -> Iterator[ResultT]:
        async def following() -> tuple[ResultT] | None:
            try:
                return (await source.__anext__(),)
            except StopAsyncIteration:
                return None

        try:
            while (found := self._thread.wait(following())) is not None:
                yield found[0]
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                self._thread.wait(close())

    def command(self, kind: str, *, after_seq: int = 0, **arguments: Any) -> dict[str, Any]:
        """See `Session.command`."""
        return self._thread.wait(self._session.command(kind, after_seq=after_seq, **arguments))

    def snapshot(self, alias: str | None = None) -> int:
        """See `Session.snapshot`."""
        return self._thread.wait(self._session.snapshot(alias))

    def train(
        self,
        xs: TensorLike,
        targets: TensorLike,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        seed: int | None = 0,
        window: int = 8,
        on_progress: OnProgress | None = None,
    ) -> TrainingProgress:
        """See `Session.train`; returns after the last step. `on_progress` runs on this thread."""
        progress: TrainingProgress | None = None
        training = self._session.train(
            xs, targets, epochs=epochs, batch_size=batch_size, seed=seed, window=window
        )
        for progress in self._iterate(training.__aiter__()):
            if on_progress is not None:
                on_progress(progress)
        assert progress is not None  # noqa: S101  # a training has at least one step
        return progress

    @property
    def id(self) -> str:
        """See `Session`."""
        return self._session.id

    @property
    def network(self) -> str:
        """See `Session`."""
        return self._session.network

    @property
    def version(self) -> int | str | None:
        """See `Session`."""
        return self._session.version

    @property
    def mode(self) -> Mode:
        """See `Session`."""
        return self._session.mode

    @property
    def notices(self) -> list[Notice]:
        """See `Session`."""
        return list(self._session.notices)

    @property
    def worker(self) -> str:
        """See `Session.worker`."""
        return self._session.worker

    @property
    def epoch(self) -> int:
        """See `Session.epoch`."""
        return self._session.epoch

    @property
    def connected(self) -> bool:
        """See `Session.connected`."""
        return self._session.connected

    @property
    def stats(self) -> SessionStats:
        """See `Session.stats`."""
        return self._session.stats
