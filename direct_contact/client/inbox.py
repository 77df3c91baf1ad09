"""Answers on their way to those who asked: to one `infer`, or to the iterator."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator

from direct_contact.client.entries import Entry, again
from direct_contact.client.errors import InputFailed, SessionClosed, SessionLost
from direct_contact.client.output import Output
from foundation.errors import Conflict, DirectContactError, LimitExceeded
from protos.dc.v1 import stream_pb2 as pb


class Inbox:
    """Every input that has no complete answer yet, and the outputs that nobody has read yet.

    Args:
        loop: the session's event loop; every call happens there.
        max_unread: outputs that may wait for the iterator before `send` holds back.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, max_unread: int) -> None:
        self._loop = loop
        self._max_unread = max_unread
        self._entries: dict[int, Entry] = {}
        self._unread: deque[Output] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._readers_seen = False
        self._room: deque[asyncio.Future[None]] = deque()
        self._ending: DirectContactError | None = None

    # ------------------------------------------------------------ what is awaited

    def expect(self, entry: Entry) -> None:
        """An input got its number: its answer will come."""
        self._entries[entry.seq] = entry

    def awaits(self, seq: int) -> bool:
        """True while the answer to `seq` is not complete."""
        return seq in self._entries

    def discarded(self) -> Iterator[int]:
        """The inputs whose answer is awaited, but by nobody."""
        return (seq for seq, entry in self._entries.items() if entry.discarded)

    # ------------------------------------------------------------ what comes

    def deliver(self, wire: pb.Output) -> None:
        """Hand one output to whom it belongs."""
        seq = wire.seq
        last = wire.last
        entry = self._entries.pop(seq) if last else self._entries[seq]
        if entry.discarded:
            return
        error = None
        if wire.HasField("error"):
            told = wire.error
            error = InputFailed(told.message, seq=seq, code=told.code, retryable=told.retryable)
        output = Output(
            seq=seq,
            part=wire.part,
            last=last,
            payload=wire.payload,
            error=error,
            queue_us=wire.queue_us,
            compute_us=wire.compute_us,
            latency_s=self._loop.time() - entry.started,
        )
        if entry.answer is None:
            self._put(output)
            return
        if entry.parts is not None:
            entry.parts.append(output)
            output.gathered = tuple(entry.parts) if last else ()
        elif not last:
            entry.parts = [output]
        if last and not entry.answer.done():
            entry.answer.set_result(output)

    def lost(self, unanswered: Iterable[int], lost_from: int, lost_to: int) -> int:
        """These inputs will not be answered: each gets the error; returns how many there were."""
        count = 0
        for seq in unanswered:
            entry = self._entries.pop(seq, None)
            if entry is None:
                continue
            count += 1
            error = SessionLost(lost_from, lost_to, seq=seq)
            if entry.discarded:
                continue
            if entry.answer is None:
                self._put(Output(seq=seq, error=error))
            else:
                entry.fail(error)
        return count

    def end(self, error: DirectContactError) -> None:
        """Nothing more comes. What was read from the socket can still be read from here."""
        self._ending = error
        for entry in self._entries.values():
            entry.fail(again(error))
        self._entries.clear()
        self._wake_reader()
        while self._room:
            self._release_one()

    # ------------------------------------------------------------ the iterator

    async def read(self) -> Output | None:
        """The next output that belongs to no `infer`; None when the session was closed.

        Raises:
            Conflict: somebody else waits here already.
            DirectContactError: what ended the session, other than a close.
        """
        self._readers_seen = True
        while not self._unread:
            if self._ending is not None:
                if isinstance(self._ending, SessionClosed):
                    return None
                raise again(self._ending) from self._ending
            if self._reader is not None:
                raise Conflict("outputs: another task iterates over this session already")
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if self._room and len(self._unread) <= self._max_unread:
            self._release_one()
        return self._unread.popleft()

    async def room(self) -> None:
        """Return when fewer than `max_unread` outputs wait for the iterator.

        Raises:
            LimitExceeded: they do, and nobody has ever begun to read them.
        """
        while len(self._unread) >= self._max_unread and self._ending is None:
            if not self._readers_seen:
                raise LimitExceeded(
                    f"outputs: {len(self._unread)} wait to be read, max_unread is "
                    f"{self._max_unread}: read them with 'async for' beside sending"
                )
            turn: asyncio.Future[None] = self._loop.create_future()
            self._room.append(turn)
            try:
                await turn
            finally:
                if turn in self._room:
                    self._room.remove(turn)

    def _put(self, output: Output) -> None:
        self._unread.append(output)
        self._wake_reader()

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _release_one(self) -> None:
        turn = self._room.popleft()
        if not turn.done():
            turn.set_result(None)
