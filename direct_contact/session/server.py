"""The gateway's end of one attachment: what comes is checked and kept, what goes leaves once.

Inputs are kept for a takeover until they are durable. The gateway passes frames on as they came, so
the machine keeps whole frames: bytes that hold a run of inputs.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

from direct_contact.session import states
from direct_contact.session.cursor import START, Cursor, after
from direct_contact.session.states import ServerState
from foundation.errors import LimitExceeded, ProtocolViolation

FRAMING_BYTES = 64 * 1024
"""What the framing of inputs may add to their payloads: up to 40 bytes each."""


class Delivery(Enum):
    """What to do with outputs that came from a worker."""

    FORWARD = "forward"
    TRIM = "trim"
    """Some of them went out before: forward only those from `due` on."""
    DROP = "drop"
    """Stale, or all of them went out before."""
    GAP = "gap"
    """Some are missing before them: drop, and ask the worker to send from `due` again."""


@dataclass(slots=True)
class _Kept:
    first_seq: int
    last_seq: int
    frame_bytes: int
    frame: bytes


class ServerMachine:
    """One client's attachment, over any number of workers.

    `due` is the next output that the client awaits; `next_seq` the next input that it may send.
    """

    def __init__(self) -> None:
        self.state = ServerState.AWAITING_HELLO
        self.epoch = 0
        self.due: Cursor = START
        self.acknowledged: Cursor = START
        """What comes before arrived at the client; what comes before `due` may still be on its
        way, and be lost with the socket. A worker may forget the first, never the second."""
        self.next_seq = 1
        self.durable_seq = 0
        self.window_seq = 0
        self.window_bytes = 0
        self.retained_bytes = 0
        self.syncing = False
        self.dropped: set[int] = set()
        """Inputs that were answered as dropped: they are sent again with `skip`."""
        self._oldest_at_client = 1
        self._wanted_seq = 1
        self._kept: deque[_Kept] = deque()

    # ------------------------------------------------------------ attaching

    def hello(
        self, *, seq: int, part: int, last: bool, oldest_retained_seq: int, epoch: int = 0
    ) -> None:
        """The client greeted; attach it to a worker, of that epoch at the least.

        Raises:
            ProtocolViolation: it had greeted before.
        """
        self.state = states.step(states.SERVER, self.state, "hello")
        self.due = self.acknowledged = after(seq, part, last)
        self._oldest_at_client = max(1, oldest_retained_seq)
        self.epoch = epoch

    @property
    def oldest_retained_seq(self) -> int:
        """The first input that the client or this gateway can send."""
        if self.state is ServerState.ATTACHING:
            return self._oldest_at_client
        return self._kept[0].first_seq if self._kept else self.next_seq

    def attached(
        self,
        *,
        epoch: int,
        wanted_seq: int,
        durable_seq: int,
        window_seq: int,
        window_bytes: int,
        lost_to: int = 0,
    ) -> list[bytes]:
        """A worker serves the session; returns the kept frames that it needs, oldest first.

        Args:
            epoch: envelopes with a lower one are stale from now on.
            wanted_seq: the first input that the worker does not have.
            durable_seq: inputs up to here are never needed again.
            window_seq: the client may send inputs up to here.
            window_bytes: how many bytes of inputs past `durable_seq` may be under way.
            lost_to: the last input whose effect is gone; 0: none is.
        """
        greeting = self.state is ServerState.ATTACHING
        self.state = states.step(states.SERVER, self.state, "attached")
        self.epoch = epoch
        self.syncing = False
        if lost_to:
            self.due = max(self.due, after(lost_to, 0, True))
        if greeting:
            # The client sends everything past `durable_seq` again, so that a takeover needs
            # nothing from it; what the worker has already is kept here and not passed on. Where a
            # checkpoint was lost, the durable input may fall behind what the client still has.
            self.next_seq = max(durable_seq + 1, self._oldest_at_client)
        else:
            self.next_seq = max(self.next_seq, lost_to + 1)
        self._wanted_seq = wanted_seq
        self.progress(durable_seq=durable_seq, window_seq=window_seq, window_bytes=window_bytes)
        return self.kept_from(wanted_seq)

    def worker_lost(self) -> None:
        """The worker is gone or let go: find another; inputs are kept meanwhile."""
        self.state = states.step(states.SERVER, self.state, "worker_lost")

    def closed(self) -> None:
        """The attachment is over: nothing is kept any longer."""
        self.state = states.step(states.SERVER, self.state, "closed")
        self._kept.clear()
        self.retained_bytes = 0

    # ------------------------------------------------------------ inputs

    def accept(self, *, first_seq: int, count: int, frame: bytes) -> bool:
        """Take a frame with `count` inputs from `first_seq` on. True: pass it on to the worker.

        The frame's own length is counted against the credit, which saves a copy of every payload;
        what framing adds is allowed for.

        Raises:
            ProtocolViolation: it is not the client's turn, a `seq` is repeated or left out, or a
                credit is exceeded.
        """
        if self.state is not ServerState.OPEN and self.state is not ServerState.MOVING:
            raise ProtocolViolation(
                "inputs may follow only after Welcome", code="unexpected_message"
            )
        if first_seq != self.next_seq:
            kind = "repeated" if first_seq < self.next_seq else "left out"
            raise ProtocolViolation(
                f"inputs[].seq: {self.next_seq} was due, {first_seq} came: one was {kind}",
                code="seq_gap" if first_seq > self.next_seq else "seq_repeated",
            )
        last_seq = first_seq + count - 1
        frame_bytes = len(frame)
        if last_seq > self.window_seq:
            raise LimitExceeded(
                f"inputs[].seq: the credit ends at {self.window_seq}, {last_seq} came",
                code="credit_exceeded",
            )
        under_way = self.retained_bytes + frame_bytes
        if self._kept and self._kept[0].first_seq <= self.durable_seq:
            # Kept whole for the inputs behind the durable one; the client counts only those.
            under_way -= self._kept[0].frame_bytes
        if self._kept and under_way > self.window_bytes + self.window_bytes // 4 + FRAMING_BYTES:
            raise LimitExceeded(
                f"inputs[].payload: {self.window_bytes} bytes past the durable input may be under "
                f"way, {under_way} are",
                code="credit_exceeded",
            )
        self.next_seq = last_seq + 1
        self.retained_bytes += frame_bytes
        self._kept.append(_Kept(first_seq, last_seq, frame_bytes, frame))
        return self.state is ServerState.OPEN and last_seq >= self._wanted_seq

    def kept_from(self, seq: int) -> list[bytes]:
        """The kept frames that hold inputs from `seq` on, oldest first."""
        return [kept.frame for kept in self._kept if kept.last_seq >= seq]

    # ------------------------------------------------------------ outputs

    def deliver(self, first: Cursor, next_due: Cursor) -> Delivery:
        """Judge outputs that begin at `first` and leave `next_due` due; FORWARD takes them."""
        if first == self.due:
            self.due = next_due
            self.syncing = False
            return Delivery.FORWARD
        if next_due <= self.due:
            return Delivery.DROP
        if first > self.due:
            return Delivery.GAP
        return Delivery.TRIM

    def acknowledge(self, cursor: Cursor) -> None:
        """Everything before `cursor` arrived at the client. Old values are harmless."""
        self.acknowledged = max(self.acknowledged, min(cursor, self.due))

    def trimmed(self, next_due: Cursor) -> None:
        """The outputs from `due` to before `next_due` went out."""
        self.due = next_due
        self.syncing = False

    def progress(self, *, durable_seq: int, window_seq: int, window_bytes: int) -> None:
        """Credits and durability moved. All are absolute; old values are harmless."""
        if durable_seq > self.durable_seq:
            self.durable_seq = durable_seq
            kept = self._kept
            while kept and kept[0].last_seq <= durable_seq:
                self.retained_bytes -= kept.popleft().frame_bytes
            if self.dropped:
                # A frame kept for its last inputs may be sent again from its first one on, and
                # what the client was welcomed to send again may still come.
                oldest = kept[0].first_seq if kept else self.next_seq
                self.dropped = {seq for seq in self.dropped if seq >= oldest}
        self.window_seq = max(self.window_seq, window_seq)
        self.window_bytes = max(self.window_bytes, window_bytes)
