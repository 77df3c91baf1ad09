"""Sessions that stream without pause, every answer held against the oracle's."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from direct_contact.client import Client, Session
from direct_contact.client.errors import SessionLost
from direct_contact.client.output import Notice, NoticeKind, Output
from foundation.errors import DirectContactError
from tests.chaos.oracle import TOLERANCE, Cell, Oracle
from tests.support.conditions import until

MAX_VIOLATIONS = 20


@dataclass
class Tally:
    """What came of the inputs of one session."""

    sent: int = 0
    answered: int = 0
    lost: int = 0
    """Told as LOST without an answer."""
    lost_ranges: list[tuple[int, int]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


class Stream:
    """One session under load: `rate` inputs a second, at most `ahead` of them unanswered.

    Args:
        client: opens the session.
        network: its name.
        cell: the network, for the oracle.
        seed: of the inputs.
        rate: inputs a second; 0: as fast as answers come.
        ahead: inputs that may be under way.
        config: of the session.
    """

    def __init__(
        self,
        client: Client,
        network: str,
        cell: Cell,
        *,
        seed: int,
        rate: float,
        ahead: int = 8,
        config: dict[str, object] | None = None,
    ) -> None:
        self.tally = Tally()
        self.loss_allowed = False
        """True while the state of sessions may be gone: Redis came back empty."""
        self.longest_gap_s = 0.0
        self.slowest_s = 0.0
        """The longest time from sending an input to its answer; set it to 0 to measure anew."""
        self.epoch = 0
        self.session: Session = client.session(network, config=config, on_notice=self._noticed)
        self._oracle = Oracle(cell, seed)
        self._interval_s = 1 / rate if rate else 0.0
        self._ahead = asyncio.Semaphore(ahead)
        self._losses: list[tuple[int, int, int]] = []
        self._arrivals: deque[float] = deque(maxlen=64)
        self._sending: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self.answered_at = self._loop.time()
        self.gaps_from = self.answered_at

    # ------------------------------------------------------------ life

    async def open(self) -> None:
        """Open the session and begin."""
        await self.session.open()
        self._reading = asyncio.create_task(self._read())
        self._sending = asyncio.create_task(self._send())

    async def finish(self) -> None:
        """Send no more, wait for the last answers, and close the session."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait({self._sending})
        try:
            await until(lambda: self.handled >= self.tally.sent or self._ended, timeout_s=30)
        except AssertionError:
            self.violated(f"inputs up to {self.tally.sent} were not answered at the end")
        await self.session.close()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    @property
    def _ended(self) -> bool:
        return self._reading is None or self._reading.done()

    @property
    def handled(self) -> int:
        """The last input that was answered, or told to be lost."""
        return self.tally.answered + self.tally.lost

    def pace(self, rate: float) -> None:
        """Send so many inputs a second from now on."""
        self._interval_s = 1 / rate

    def watch_gaps(self) -> None:
        """Measure the longest gap between answers from now on."""
        self.longest_gap_s = 0.0
        self.gaps_from = self._loop.time()

    @property
    def gap_s(self) -> float:
        """The longest gap since `watch_gaps`, the present one included."""
        return max(self.longest_gap_s, self._loop.time() - max(self.answered_at, self.gaps_from))

    def first_after(self, moment: float) -> float:
        """When the first answer after this moment came, by the loop's clock; of the last 64."""
        return next(at for at in self._arrivals if at > moment)

    def violated(self, what: str) -> None:
        """Note what must not be; many of one session are cut short."""
        if len(self.tally.violations) < MAX_VIOLATIONS:
            self.tally.violations.append(f"{self.session.id}: {what}")

    # ------------------------------------------------------------ inputs

    async def _send(self) -> None:
        due_at = self._loop.time()
        try:
            while True:
                await self._ahead.acquire()
                if self._interval_s:
                    # What was missed is not made up for, but for one input.
                    due_at = max(due_at, self._loop.time() - 2 * self._interval_s)
                    due_at += self._interval_s
                    await asyncio.sleep(due_at - self._loop.time())
                # Counted before: a cancelled send may have been numbered, and is never answered
                # to the iterator then. Nothing is cancelled between here and its number, because
                # there is credit for `ahead`.
                seq = await self.session.send(self._oracle.input(self.tally.sent + 1))
                self.tally.sent += 1
                if seq != self.tally.sent:
                    self.violated(f"the input {self.tally.sent} got the number {seq}")
        except DirectContactError as error:
            self.violated(f"an input was refused: {error!r}")

    # ------------------------------------------------------------ answers

    async def _read(self) -> None:
        try:
            async for output in self.session:
                self._take(output)
                self._ahead.release()
        except DirectContactError as error:
            self.violated(f"the session ended: {error.code}: {error}")

    def _take(self, output: Output) -> None:
        now = self._loop.time()
        self.longest_gap_s = max(self.longest_gap_s, now - max(self.answered_at, self.gaps_from))
        self.answered_at = now
        self._arrivals.append(now)
        self.slowest_s = max(self.slowest_s, output.latency_s)
        due = self.handled + 1
        if output.seq != due:
            kind = "repeated" if output.seq < due else "left out or overtaken"
            self.violated(f"{kind}: the answer {output.seq} came, {due} was due")
        if isinstance(output.error, SessionLost):
            self.tally.lost += 1
            if (output.error.lost_from, output.error.lost_to) not in self.tally.lost_ranges:
                self.violated(f"lost without a notice: {output.error}")
            return
        self.tally.answered += 1
        if output.error is not None:
            self.violated(f"failed: {output.seq}: {output.error!r}")
            return
        while self._losses and self._losses[0][2] <= output.seq:
            lost_from, lost_to, _ = self._losses.pop(0)
            self._oracle.lose(lost_from, lost_to)
        expected = self._oracle.expected(output.seq)
        error = float(np.abs(output.array - expected).max())
        if not error <= TOLERANCE:
            self.violated(f"wrong: the answer {output.seq} differs by {error:.2e}")

    def _noticed(self, notice: Notice) -> None:
        if notice.epoch and notice.epoch < self.epoch:
            self.violated(f"epoch {notice.epoch} after {self.epoch}: an older owner was heard")
        self.epoch = max(self.epoch, notice.epoch)
        if notice.kind is not NoticeKind.LOST:
            return
        lost = (notice.lost_from, notice.lost_to)
        if not self.loss_allowed:
            self.violated(f"lost {lost[0]} to {lost[1]}, and nothing may be")
        if lost[0] > lost[1] or lost[0] < 1 or lost[1] > self.tally.sent:
            self.violated(f"lost {lost[0]} to {lost[1]}, of {self.tally.sent} inputs")
        self.tally.lost_ranges.append(lost)
        # What was delivered before this is of the old history, though nobody may have read it.
        stats = self.session.stats
        first_after = stats.outputs_received + stats.inputs_lost + 1
        self._losses.append((*lost, first_after))
