"""A session as its user sees it: numpy in and out, over whatever happens to sockets and workers."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any

from direct_contact.client import asking
from direct_contact.client.attached import AttachedSession
from direct_contact.client.commanding import ON_STREAM, command_by_rest, new_version
from direct_contact.client.entries import Entry, again
from direct_contact.client.output import Output
from direct_contact.client.pipelining import pipelined
from direct_contact.client.tensors import Array, PayloadLike, TensorLike
from direct_contact.client.training import OnProgress, Training

ANSWER_TIMEOUT_S = 60.0


class Session(AttachedSession):
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
        conversation = self._conversation
        entry = asking.ask(conversation, x, target, budget_ms)
        return await asking.answer(conversation, entry, timeout_s)

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
        return await asking.send(self._conversation, x, target, budget_ms)

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
        conversation = self._conversation

        async def answer(entry: Entry) -> Array:
            return (await asking.answer(conversation, entry, timeout_s)).whole()

        return pipelined(
            inputs,
            lambda x: asking.ask(conversation, x),
            answer,
            conversation.abandon,
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
        conversation = self._conversation
        return pipelined(
            pairs,
            lambda pair: asking.ask(conversation, *pair),
            lambda entry: asking.answer(conversation, entry, timeout_s),
            conversation.abandon,
            self._feeders,
            window=window,
        )

    # ------------------------------------------------------------ commands and training

    async def command(
        self,
        kind: str,
        *,
        after_seq: int | None = None,
        timeout_s: float | None = ANSWER_TIMEOUT_S,
        **arguments: Any,
    ) -> dict[str, Any]:
        """Send a command: pause, resume, reset, train, infer, snapshot, restore, migrate, close.

        The first three go on the stream, in order with the inputs, and hold through reconnects and
        takeovers; the others, and any of a detached session, go by REST.

        Args:
            kind: of the command.
            after_seq: take effect when this input has been computed, and before the next one; 0: as
                soon as possible; None: a reset after the inputs sent so far, others as 0.
            timeout_s: how long to wait for the result on the stream; None: as long as the session
                lives. By REST the client's own limit counts.
            **arguments: of the command.

        Returns:
            The command's result, with `after_seq`: the input after which it took effect.

        Raises:
            AnswerTimeout: no result within `timeout_s`; it may still take effect.
            DirectContactError: it was refused, or what ended the session.
        """
        conversation = self._conversation
        if conversation.ending is not None:
            raise again(conversation.ending)
        if after_seq is None:
            after_seq = conversation.machine.next_seq - 1 if kind == "reset" else 0
        if kind in ON_STREAM and not self._detached:
            return await conversation.commands.carry_out(kind, after_seq, arguments, timeout_s)
        result = await command_by_rest(self._rest, self.id, kind, after_seq, arguments)
        if kind in ("train", "infer"):
            self.mode = "train" if kind == "train" else "infer"
        return result

    async def snapshot(self, alias: str | None = None) -> int:
        """Keep the session's weights as a new version of the network; returns its number.

        Args:
            alias: points to the new version from now on.
        """
        version = new_version(await self.command("snapshot"))
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
