"""A session as its user sees it: numpy in and out, over whatever happens to sockets and workers."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from direct_contact.client.conversation import Conversation
from direct_contact.client.dialing import Dialer, Ticket
from direct_contact.client.entries import Entry
from direct_contact.client.errors import AnswerTimeout, SessionClosed
from direct_contact.client.link import Link
from direct_contact.client.output import Notice, Output, SessionStats
from direct_contact.client.pipelining import pipelined
from direct_contact.client.rest import RestConnection
from direct_contact.client.tensors import Array, PayloadLike, TensorLike, encode_payload
from direct_contact.client.training import OnProgress, Training
from foundation.errors import Conflict, DirectContactError, InternalError

Mode: TypeAlias = Literal["infer", "train"]
OnNotice: TypeAlias = Callable[[Notice], None]

ANSWER_TIMEOUT_S = 60.0
MAX_NOTICES = 100

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a client treats its sessions.

    Attributes:
        open_timeout_s: how long opening may take, repeated tries included.
        close_timeout_s: how long closing waits for the server's goodbye.
        welcome_timeout_s: how long a server may be silent between Hello and Welcome.
        max_unread: outputs that may wait for the iterator before `send` holds back.
    """

    open_timeout_s: float = 30.0
    close_timeout_s: float = 2.0
    welcome_timeout_s: float = 15.0
    max_unread: int = 16384


class Session:
    """One ordered conversation with one network version. Use it with ``async with``.

    It reconnects and resumes by itself; every input is answered once, in order. Everything here
    belongs to the event loop on which it was opened.

    Attributes:
        id: the session's id; empty before it is open.
        network: the network's name.
        version: what was asked for, and once it is open the version's number.
        mode: "infer" or "train".
        notices: the last notices, newest last.
    """

    def __init__(
        self,
        rest: RestConnection,
        network: str,
        *,
        version: int | str | None = None,
        mode: Mode = "infer",
        config: dict[str, Any] | None = None,
        on_notice: OnNotice | None = None,
        options: SessionOptions | None = None,
    ) -> None:
        self.id = ""
        self.network = network
        self.version = version
        self.mode: Mode = mode
        self.notices: deque[Notice] = deque(maxlen=MAX_NOTICES)
        self._config = dict(config or {})
        self._on_notice = on_notice
        self._options = options or SessionOptions()
        self._rest = rest
        self._wakeup = asyncio.Event()
        self._conversation_: Conversation | None = None
        self._link_: Link | None = None
        self._task: asyncio.Task[None] | None = None
        self._feeders: set[asyncio.Task[None]] = set()
        self._detached = False

    # ------------------------------------------------------------ open and close

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Create the session and connect to it; `async with` does this.

        Raises:
            Conflict: it was opened before.
            DirectContactError: it could not be; nothing of it is left.
        """
        if self._conversation_ is not None:
            raise Conflict("session: it was opened before; make another one")
        loop = asyncio.get_running_loop()
        self._conversation_ = Conversation(
            loop, self._wakeup.set, max_unread=self._options.max_unread
        )
        body: dict[str, Any] = {"network": self.network, "config": {**self._config}}
        body["config"].setdefault("mode", self.mode)
        if self.version is not None:
            body["version"] = self.version
        answer = await self._rest.json("POST", "sessions", body=body, idempotent=False)
        self.id = str(answer["session"]["id"])
        self.version = answer["session"].get("version", self.version)
        stream = answer["stream"]
        self._link_ = Link(
            self._conversation_,
            Dialer(
                Ticket(str(stream["url"]), str(stream["ticket"])), self._mint, tls=self._rest.tls
            ),
            self._wakeup,
            self._notice,
            open_timeout_s=self._options.open_timeout_s,
            welcome_timeout_s=self._options.welcome_timeout_s,
        )
        try:
            await self._connect()
        except BaseException as failure:
            await self._stop_link()
            self._conversation_.end(SessionClosed(f"it could not be opened: {failure}"))
            await self._delete()
            raise

    async def attach(self) -> None:
        """Connect again after `detach`.

        Raises:
            Conflict: it is not detached.
            DirectContactError: it could not be resumed.
        """
        if not self._detached:
            raise Conflict("session: only a detached one can be attached")
        self._detached = False
        await self._connect()

    async def detach(self) -> None:
        """Close the socket and leave the session, to `attach` again within its resume time.

        What is under way stays so; leaving the ``async with`` block now does not end the session.
        """
        self._detached = True
        await self._stop_link()

    async def close(self) -> None:
        """End the session: nothing of it is kept, and whoever still waits gets SessionClosed.

        Repeating does nothing. A detached session stays where it is: only this end is cleaned up.
        """
        conversation = self._conversation_
        if conversation is None:
            return
        already_over = conversation.ending is not None
        try:
            if self._task is not None and not already_over and self._link.welcome.is_set():
                conversation.say_bye()
                await asyncio.wait({self._task}, timeout=self._options.close_timeout_s)
        finally:
            said_bye = self._task is not None and self._task.done() and conversation.said_bye
            await self._stop_link()
            conversation.end(SessionClosed("the session was closed by this client"))
            for feeder in tuple(self._feeders):
                feeder.cancel()
            if self._feeders:
                await asyncio.wait(self._feeders)
        if not (already_over or self._detached or said_bye):
            await self._delete()

    async def _connect(self) -> None:
        self._task = asyncio.create_task(self._link.run(), name=f"session {self.id}")
        await self._link.welcome.wait()
        ending = self._conversation.ending
        if ending is not None:
            raise ending

    async def _stop_link(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def _delete(self) -> None:
        try:
            await self._rest.call("DELETE", f"sessions/{self.id}")
        except DirectContactError as error:
            logger.info("session %s is left to expire: %s", self.id, error)

    async def _mint(self) -> Ticket:
        answer = await self._rest.json("POST", f"sessions/{self.id}/tickets", idempotent=False)
        stream = answer.get("stream", answer)
        return Ticket(str(stream["url"]), str(stream["ticket"]))

    def _notice(self, notice: Notice) -> None:
        self.notices.append(notice)
        if self._on_notice is not None:
            self._on_notice(notice)

    # ------------------------------------------------------------ inputs and outputs

    async def infer(
        self,
        x: PayloadLike,
        target: TensorLike | None = None,
        *,
        budget_ms: int = 0,
        timeout_s: float | None = ANSWER_TIMEOUT_S,
    ) -> Array:
        """Send one input and return its answer, which the iterator will not show.

        Args:
            x: one array, or several by name.
            target: what to learn from, in a session in training.
            budget_ms: the answer is worthless after this long; 0: never.
            timeout_s: how long to wait here, outages included; None: as long as the session lives.

        Raises:
            InputFailed: the server answered with an error.
            SessionLost: the answer is gone with the state.
            AnswerTimeout: it took longer than `timeout_s`.
            InvalidInput: it can't be sent: its dtype, its size.
            SessionOver: or what else ended the session.
        """
        output = await self.infer_full(x, target, budget_ms=budget_ms, timeout_s=timeout_s)
        return output.whole()

    async def infer_full(
        self,
        x: PayloadLike,
        target: TensorLike | None = None,
        *,
        budget_ms: int = 0,
        timeout_s: float | None = ANSWER_TIMEOUT_S,
    ) -> Output:
        """The same, returning the output with its loss, all its tensors, its parts and figures."""
        return await self._answer(self._submit(x, target, budget_ms), timeout_s)

    async def send(
        self, x: PayloadLike, target: TensorLike | None = None, *, budget_ms: int = 0
    ) -> int:
        """Send one input and return its number; the iterator yields its answer.

        Waits while there is no credit, and while `max_unread` outputs wait to be read. Cancelled,
        it leaves nothing behind: the iterator will not show an answer.

        Raises:
            InvalidInput: it can't be sent: its dtype, its size.
            LimitExceeded: `max_unread` outputs wait, and nobody reads them.
            SessionOver: or what else ended the session.
        """
        conversation = self._conversation
        await conversation.inbox.room()
        sent: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        entry = Entry(
            encode_payload(x),
            b"" if target is None else encode_payload(target),
            budget_ms,
            sent=sent,
        )
        conversation.submit(entry)
        if sent.done():
            return sent.result()
        try:
            return await sent
        except asyncio.CancelledError:
            conversation.abandon(entry)
            raise

    def __aiter__(self) -> AsyncIterator[Output]:
        """The outputs of what was sent, in order; ends when the session is closed.

        An input that failed yields an output with `error`. One task at a time may iterate.
        """
        return self

    async def __anext__(self) -> Output:
        output = await self._conversation.inbox.read()
        if output is None:
            raise StopAsyncIteration
        return output

    def infer_many(
        self,
        inputs: Iterable[PayloadLike] | AsyncIterable[PayloadLike],
        *,
        window: int = 64,
        timeout_s: float | None = ANSWER_TIMEOUT_S,
    ) -> AsyncIterator[Array]:
        """The answers to many inputs, in order, with up to `window` of them under way.

        Each answer is yielded as soon as it and all before it are there. The first error ends it.
        """
        return pipelined(
            inputs,
            lambda x: self._submit(x, None, 0),
            lambda entry: self._whole(entry, timeout_s),
            self._conversation.abandon,
            self._feeders,
            window=window,
        )

    def ask_many(
        self,
        pairs: Iterable[tuple[PayloadLike, TensorLike]]
        | AsyncIterable[tuple[PayloadLike, TensorLike]],
        *,
        window: int = 64,
        timeout_s: float | None = ANSWER_TIMEOUT_S,
    ) -> AsyncIterator[Output]:
        """The same for inputs with their targets, yielding outputs with their losses."""
        return pipelined(
            pairs,
            lambda pair: self._submit(pair[0], pair[1], 0),
            lambda entry: self._answer(entry, timeout_s),
            self._conversation.abandon,
            self._feeders,
            window=window,
        )

    def _submit(self, x: PayloadLike, target: TensorLike | None, budget_ms: int) -> Entry:
        entry = Entry(
            encode_payload(x),
            b"" if target is None else encode_payload(target),
            budget_ms,
            answer=asyncio.get_running_loop().create_future(),
        )
        self._conversation.submit(entry)
        return entry

    async def _answer(self, entry: Entry, timeout_s: float | None) -> Output:
        answer = entry.answer
        assert answer is not None  # noqa: S101  # `_submit` made it
        timer = None
        if timeout_s is not None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(timeout_s, self._time_out, entry, timeout_s)
        try:
            output = await answer
        except asyncio.CancelledError:
            self._conversation.abandon(entry)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if output.error is not None:
            raise output.error
        return output

    async def _whole(self, entry: Entry, timeout_s: float | None) -> Array:
        return (await self._answer(entry, timeout_s)).whole()

    def _time_out(self, entry: Entry, timeout_s: float) -> None:
        what = f"input {entry.seq}" if entry.seq else "an input that waits for credit"
        self._conversation.abandon(entry)
        entry.fail(AnswerTimeout(f"{what}: no answer within timeout_s={timeout_s:g}"))

    # ------------------------------------------------------------ commands and training

    async def command(self, kind: str, *, after_seq: int = 0, **arguments: Any) -> dict[str, Any]:
        """Send a command by REST: pause, resume, reset, train, infer, snapshot, restore, migrate.

        Args:
            kind: of the command.
            after_seq: take effect when this input has been computed; 0: as soon as possible.
            **arguments: of the command.

        Returns:
            The command's result, with `after_seq`: the input after which it took effect.
        """
        body = {
            "type": kind,
            "arguments": arguments,
            "after_seq": after_seq,
            # Repeating a call that broke off repeats the answer, not the effect.
            "command_id": str(uuid.uuid4()),
        }
        path = f"sessions/{self.id}/commands"
        answer = await self._rest.json("POST", path, body=body, idempotent=False)
        result = answer.pop("result", None)
        if kind in ("train", "infer"):
            self.mode = "train" if kind == "train" else "infer"
        return {**answer, **result} if isinstance(result, dict) else answer

    async def snapshot(self, alias: str | None = None) -> int:
        """Keep the session's weights as a new version of the network; returns its number.

        Args:
            alias: points to the new version from now on.
        """
        result = await self.command("snapshot")
        try:
            version = int(result["version"])
        except (KeyError, TypeError, ValueError) as error:
            raise InternalError(f"snapshot: no version in the answer {result}") from error
        if alias is not None:
            path = f"networks/{self.network}/aliases/{alias}"
            await self._rest.call("PUT", path, body={"version": version})
        return version

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
    ) -> Training:
        """Train the session's network on the live stream, one batch an input.

        Await it for the last `TrainingProgress`, or iterate over it for one after every step::

            async for progress in session.train(x, y, epochs=3):
                print(progress.step, progress.loss)

        Args:
            xs: [items, ...]; float64 is sent as float32, which networks compute in.
            targets: [items, ...] like the network's output, or class indexes [items].
            epochs: how often every item is seen.
            batch_size: items an input.
            seed: of the order of the items, new in every epoch; None: as they are.
            window: batches under way at once.
            on_progress: called after every step.

        Raises:
            InvalidInput: the lengths don't fit, or a number is below 1.
        """
        return Training(
            self,
            xs,
            targets,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
            window=window,
            on_progress=on_progress,
        )

    # ------------------------------------------------------------ what it is

    @property
    def worker(self) -> str:
        """The worker that computes now, for people to read."""
        return self._link.worker

    @property
    def epoch(self) -> int:
        """How often the session has changed hands, as a number that only grows."""
        return self._link.epoch

    @property
    def connected(self) -> bool:
        """The socket is up and the server has welcomed it."""
        return self._link.welcome.is_set() and self._conversation.ending is None

    @property
    def stats(self) -> SessionStats:
        """What the session has done so far."""
        conversation = self._conversation
        conversation.stats.duplicates_dropped = conversation.machine.duplicates
        return conversation.stats

    @property
    def _conversation(self) -> Conversation:
        if self._conversation_ is None:
            raise SessionClosed("the session is not open: use 'async with'")
        return self._conversation_

    @property
    def _link(self) -> Link:
        if self._link_ is None:
            raise SessionClosed("the session is not open: use 'async with'")
        return self._link_
