"""The worker's end of a session: each input taken once, each output kept until it arrived.

Opaque inputs and outputs go through it; the shell computes, sends and writes the checkpoints.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Generic, TypeVar

OutputT = TypeVar("OutputT")


class Accepted(Enum):
    """What became of an input."""

    TAKEN = "taken"
    REPEATED = "repeated"
    GAP = "gap"
    """Inputs are missing before it: ask for them from `next_seq` on."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """How a session stands when a client attaches."""

    next_seq: int
    lost_from: int
    lost_to: int


class WorkerMachine(Generic[OutputT]):
    """One session that this worker owns.

    Args:
        stateful: the durable input is the last checkpoint's; otherwise the last whose answer the
            client acknowledged, because a stateless answer can be computed again from its input.
        hold: `commit_first`: an output leaves only when a checkpoint holds its effect.
        window_inputs: how many inputs past the durable and acknowledged ones the client may send.
        window_bytes: how many bytes of them.
    """

    def __init__(
        self, *, stateful: bool, hold: bool, window_inputs: int, window_bytes: int
    ) -> None:
        self.stateful = stateful
        self.hold = hold and stateful
        self.next_seq = 1
        self.computed_seq = 0
        self.checkpoint_seq = 0
        self.window_bytes = window_bytes
        self.window_inputs = window_inputs
        # (seq, part, last, output), in order.
        self._kept: deque[tuple[int, int, bool, OutputT]] = deque()
        # The next output due: at the client's acknowledgement, and on this attachment.
        self._acked = (1, 0)
        self._unsent = 0
        self._shown = (1, 0)
        self._released_seq = 0
        self._lost = (0, 0)

    # ------------------------------------------------------------ a session begins here

    def restore(
        self,
        *,
        seq: int,
        acked: tuple[int, int],
        outputs: Iterable[tuple[int, int, bool, OutputT]],
        lost: tuple[int, int] = (0, 0),
    ) -> None:
        """Start from a checkpoint after input `seq`, with the outputs not yet acknowledged.

        `lost` is the range that the client may not have been told of yet; zeros: there is none.
        """
        self.next_seq = seq + 1
        self.computed_seq = seq
        self.checkpoint_seq = seq
        self._acked = acked
        self._kept = deque(outputs)
        self._unsent = 0
        self._lost = lost

    def attach(
        self,
        *,
        due: tuple[int, int],
        oldest_retained_seq: int,
        shown: tuple[int, int] | None = None,
    ) -> Attachment:
        """A client attaches; everything before `due` arrived there.

        Args:
            due: the next output that the client has not acknowledged, as (seq, part).
            oldest_retained_seq: the first input that can be sent: the oldest that is retained, or
                else the next new one.
            shown: the next output that was not sent towards the client; None: `due`. What lies
                between the two may have arrived, or may be lost with the client's socket.

        Returns:
            Where to go on. A lost range tells inputs that are needed here and that nobody can
            send any more: their effect on the state is gone. It is told at each attach until the
            client acknowledges an output that followed it.
        """
        wanted = self.next_seq
        if not self.stateful and due[0] > wanted:
            wanted = due[0]
        lost_from = lost_to = 0
        if oldest_retained_seq > wanted:
            lost_from, lost_to = wanted, oldest_retained_seq - 1
            wanted = oldest_retained_seq
        if wanted > self.next_seq:
            if self.computed_seq == self.next_seq - 1:
                self.computed_seq = wanted - 1
            self.next_seq = wanted
            # Nobody can send what is before: there is nothing to keep it for.
            self.checkpoint_seq = max(self.checkpoint_seq, wanted - 1)
        self._acked = max(self._acked, due, (lost_to + 1, 0) if lost_to else due)
        self._drop_kept_before(self._acked)
        self._unsent = 0
        self._shown = due if shown is None else max(shown, due)
        self._released_seq = max(self._released_seq, oldest_retained_seq - 1)
        if lost_to:
            self.lose(lost_from, lost_to)
        return Attachment(self.next_seq, *self._lost)

    def lose(self, lost_from: int, lost_to: int) -> None:
        """The effect of these inputs on the state is gone; the next attach tells it."""
        earlier_from, earlier_to = self._lost
        self._lost = (min(earlier_from or lost_from, lost_from), max(earlier_to, lost_to))

    # ------------------------------------------------------------ inputs

    def accept(self, seq: int) -> Accepted:
        """Judge an input that came; a TAKEN one is to be computed after all before it."""
        if seq == self.next_seq:
            self.next_seq = seq + 1
            return Accepted.TAKEN
        return Accepted.REPEATED if seq < self.next_seq else Accepted.GAP

    def accept_run(self, first: int, count: int) -> bool:
        """Take inputs from `first` on, as `accept` would one by one. False: judge each."""
        if first != self.next_seq:
            return False
        self.next_seq = first + count
        return True

    # ------------------------------------------------------------ outputs

    def computed(self, seq: int, part: int, last: bool, output: OutputT) -> None:
        """An output is there. Outputs come in (seq, part) order."""
        if last:
            self.computed_seq = seq
        if (seq, part) < self._acked:
            # A replay of what the client has: its effect counts, its answer does not.
            return
        self._kept.append((seq, part, last, output))

    def sendable(self) -> list[OutputT]:
        """The outputs that may leave now and have not left on this attachment, in order."""
        kept = self._kept
        unsent = self._unsent
        end = len(kept)
        if self.hold:
            while end > unsent and kept[end - 1][0] > self.checkpoint_seq:
                end -= 1
        if end == unsent:
            return []
        self._unsent = end
        return [entry[3] for entry in islice(kept, unsent, end)]

    def acknowledge(self, due: tuple[int, int]) -> None:
        """Everything before `due` arrived at the client: it is kept no longer.

        What was not even taken cannot have been answered: such a `due` counts up to there.
        """
        due = min(due, (self.next_seq, 0))
        if due > self._shown:
            # It followed the answer to the attach, so that answer arrived.
            self._lost = (0, 0)
        if due > self._acked:
            self._acked = due
            self._drop_kept_before(due)

    def may_drop(self, seq: int) -> bool:
        """Whether the input may be answered as dropped when its time is over.

        Not when the client may have seen its answer: that would show a different history.
        """
        return (seq, 0) >= self._shown

    def owed_part(self, seq: int) -> int:
        """How many parts of this answer the client may have, the last one not among them.

        An answer that is computed again must go on behind them.
        """
        return max(part if due == seq else 0 for due, part in (self._acked, self._shown))

    def send_again(self, due: tuple[int, int] | None = None) -> None:
        """Outputs were lost on the way: those from `due` on leave once more.

        `due` is what the client has not acknowledged; None: nothing new is known of that.
        """
        if due is not None:
            self.acknowledge(due)
        self._unsent = 0

    @property
    def claimable(self) -> tuple[int, int]:
        """No client has an output from here on: not from this owner, nor from an earlier one."""
        return max((self.next_seq, 0), self._shown)

    def _drop_kept_before(self, due: tuple[int, int]) -> None:
        kept, (seq, part) = self._kept, due
        before = len(kept)
        while kept and (kept[0][0] < seq or (kept[0][0] == seq and kept[0][1] < part)):
            kept.popleft()
        self._unsent = max(0, self._unsent - before + len(kept))

    # ------------------------------------------------------------ durability and credits

    @property
    def acked(self) -> tuple[int, int]:
        """The next output that the client has not acknowledged, as (seq, part)."""
        return self._acked

    @property
    def acked_seq(self) -> int:
        """The last input whose whole answer the client acknowledged."""
        return self._acked[0] - 1

    @property
    def durable_seq(self) -> int:
        """Inputs up to here are never needed again, whoever dies."""
        return self.checkpoint_seq if self.stateful else self.acked_seq

    def become_stateful(self) -> None:
        """From now on only a checkpoint makes an input durable.

        What was durable so far stays so; the shell writes a checkpoint at once, because nobody
        keeps the inputs before it.
        """
        if not self.stateful:
            self.checkpoint_seq = self.acked_seq
            self.stateful = True

    @property
    def window_seq(self) -> int:
        """The client may send inputs up to here.

        Where a checkpoint was lost, the durable input falls back; a credit that was given does not.
        """
        return min(max(self.durable_seq, self._released_seq), self.acked_seq) + self.window_inputs

    @property
    def lost(self) -> tuple[int, int]:
        """The lost range that the client may not know of yet; a checkpoint must hold it."""
        return self._lost

    @property
    def dirty_inputs(self) -> int:
        """How many computed inputs no checkpoint holds."""
        return self.computed_seq - self.checkpoint_seq if self.stateful else 0

    def unacknowledged(self) -> list[tuple[int, int, bool, OutputT]]:
        """The outputs that a checkpoint must hold, in order."""
        return list(self._kept)

    @property
    def outputs_kept(self) -> int:
        """How many outputs wait for their acknowledgement."""
        return len(self._kept)

    def latest(self, count: int) -> list[OutputT]:
        """The last `count` of them, the newest first."""
        return [kept[3] for kept in islice(reversed(self._kept), count)]

    def checkpointed(self, seq: int) -> None:
        """A checkpoint after input `seq` is written."""
        self.checkpoint_seq = max(self.checkpoint_seq, seq)
