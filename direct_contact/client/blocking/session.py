"""`Session` called without ``await``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from direct_contact.client.attached import Mode
from direct_contact.client.blocking.loop_thread import LoopThread
from direct_contact.client.output import Notice, Output, SessionStats
from direct_contact.client.session import ANSWER_TIMEOUT_S, Session
from direct_contact.client.tensors import Array, PayloadLike, TensorLike
from direct_contact.client.training import OnProgress, TrainingProgress

ResultT = TypeVar("ResultT")


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

    def command(
        self,
        kind: str,
        *,
        after_seq: int | None = None,
        timeout_s: float | None = ANSWER_TIMEOUT_S,
        **arguments: Any,
    ) -> dict[str, Any]:
        """See `Session.command`."""
        return self._thread.wait(
            self._session.command(kind, after_seq=after_seq, timeout_s=timeout_s, **arguments)
        )

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
