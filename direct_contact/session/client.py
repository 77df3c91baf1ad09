"""The client's end of a session: numbers inputs, retains them, and takes each output once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from direct_contact.session import states
from direct_contact.session.cursor import START, Cursor, after
from direct_contact.session.states import ClientState
from foundation.errors import ProtocolViolation

ItemT = TypeVar("ItemT")


@dataclass(slots=True)
class Retained(Generic[ItemT]):
    """An input that the server may still ask for."""

    seq: int
    item: ItemT
    payload_bytes: int


class ClientMachine(Generic[ItemT]):
    """One session, over any number of connections.

    The shell calls `connected` when a socket is up and sends what `hello` tells; hands the Welcome
    to `welcome` and sends what it returns; sends an input only when `has_credit`, after `submit`;
    asks `receive` for each output whether to deliver it; and puts `acknowledgement` on the next
    frame that leaves.
    """

    def __init__(self) -> None:
        self.state = ClientState.DISCONNECTED
        self.next_seq = 1
        self.durable_seq = 0
        self.window_seq = 0
        self.window_bytes = 0
        self.due: Cursor = START
        self.acknowledged: Cursor = START
        self.duplicates = 0
        self._retained: deque[Retained[ItemT]] = deque()
        self._retained_bytes = 0

    # ------------------------------------------------------------ connections

    def connected(self) -> None:
        """A socket is up: send Hello with `due`, which acknowledges, and `oldest_retained_seq`."""
        self.state = states.step(states.CLIENT, self.state, "connected")
        self.acknowledged = self.due

    @property
    def oldest_retained_seq(self) -> int:
        """The first input that can be sent: the oldest that is retained, or else the next one."""
        return self._retained[0].seq if self._retained else self.next_seq

    def welcome(
        self, *, durable_seq: int, next_seq: int, window_seq: int, window_bytes: int
    ) -> Iterator[Retained[ItemT]]:
        """The server's answer to Hello; yields the inputs to send again, oldest first.

        Raises:
            ProtocolViolation: the server wants an input that was never sent, or one that it had
                allowed to be forgotten.
        """
        self.state = states.step(states.CLIENT, self.state, "welcome")
        if next_seq > self.next_seq:
            raise ProtocolViolation(
                f"Welcome asks for inputs from {next_seq}, but the next one is {self.next_seq}"
            )
        self.window_seq = window_seq
        self.window_bytes = window_bytes
        self.progress(durable_seq=durable_seq, window_seq=window_seq, window_bytes=window_bytes)
        return (kept for kept in tuple(self._retained) if kept.seq >= next_seq)

    def disconnected(self) -> None:
        """The socket is gone; everything retained stays. Harmless after the end."""
        if self.state is not ClientState.ENDED and self.state is not ClientState.DISCONNECTED:
            self.state = states.step(states.CLIENT, self.state, "disconnected")

    def end(self) -> None:
        """The session is over: nothing is retained any longer."""
        if self.state is not ClientState.ENDED:
            self.state = states.step(states.CLIENT, self.state, "ended")
        self._retained.clear()
        self._retained_bytes = 0

    # ------------------------------------------------------------ inputs

    def has_credit(self, payload_bytes: int) -> bool:
        """True when an input of this size may be sent now. One input may always be under way."""
        return (
            self.state is ClientState.OPEN
            and self.next_seq <= self.window_seq
            and (not self._retained or self._retained_bytes + payload_bytes <= self.window_bytes)
        )

    def submit(self, item: ItemT, payload_bytes: int) -> int:
        """Number and retain an input; the shell sends it. Only when `has_credit`."""
        seq = self.next_seq
        self.next_seq = seq + 1
        self._retained.append(Retained(seq, item, payload_bytes))
        self._retained_bytes += payload_bytes
        return seq

    def retained(self, seq: int) -> Retained[ItemT] | None:
        """The input `seq`, while it is retained."""
        if not self._retained:
            return None
        index = seq - self._retained[0].seq
        return self._retained[index] if 0 <= index < len(self._retained) else None

    def progress(self, *, durable_seq: int, window_seq: int, window_bytes: int) -> None:
        """Credits and durability moved. All are absolute; old values are harmless."""
        if durable_seq > self.durable_seq:
            self.durable_seq = durable_seq
            while self._retained and self._retained[0].seq <= durable_seq:
                self._retained_bytes -= self._retained.popleft().payload_bytes
        self.window_seq = max(self.window_seq, window_seq)
        self.window_bytes = max(self.window_bytes, window_bytes)

    # ------------------------------------------------------------ outputs

    def receive(self, seq: int, part: int, last: bool) -> bool:
        """True: deliver this output. False: it came before.

        Raises:
            ProtocolViolation: an output is missing before this one, or it answers an input that
                was never sent.
        """
        due = self.due
        if seq == due.seq and part == due.part:
            if seq >= self.next_seq:
                raise ProtocolViolation(f"output {seq} answers an input that was never sent")
            self.due = Cursor(seq + 1, 0) if last else Cursor(seq, part + 1)
            return True
        if (seq, part) < due:
            self.duplicates += 1
            return False
        raise ProtocolViolation(f"output ({seq}, {part}) came where {tuple(due)} was due")

    def lose(self, lost_to: int) -> range:
        """The effect of inputs up to `lost_to` is gone; returns those whose answers never come.

        An answer that came in part counts as never come; so do answers that were due before the
        lost range began: outputs go on after it.
        """
        unanswered = range(self.due.seq, min(lost_to, self.next_seq - 1) + 1)
        if lost_to >= self.due.seq:
            self.due = after(lost_to, 0, True)
        self.next_seq = max(self.next_seq, lost_to + 1)
        self.progress(
            durable_seq=lost_to, window_seq=self.window_seq, window_bytes=self.window_bytes
        )
        return unanswered

    def acknowledgement(self) -> Cursor | None:
        """What to acknowledge on the frame that leaves now; None: nothing new."""
        if self.due == self.acknowledged:
            return None
        self.acknowledged = self.due
        return self.due

    @property
    def outputs_unacknowledged(self) -> int:
        """How many inputs' answers came since the last acknowledgement, about."""
        return self.due.seq - self.acknowledged.seq + (self.due.part > 0)
