"""Checkpoints: what is in one, when it is written, and what a refused one means."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from ann_workers.hosting.frames import DROPPED_CODES
from ann_workers.hosting.session import HeldSession, KeptOutput
from broker.varints import varint
from foundation.clock import Monotonic, monotonic
from foundation.errors import DirectContactError, InvalidInput
from protos.dc.internal.v1.envelope_pb2 import Checkpoint
from protos.dc.v1.stream_pb2 import ServerFrame
from registry.live import Save, SessionStore

logger = logging.getLogger(__name__)

FORMAT: Final = 1
SAVES_AT_ONCE: Final = 128
TICK_S: Final = 0.025
RETRY_S: Final = 0.1
"""Before something is written again that the session store did not take."""

_OUTPUTS: Final = b"\x32"
"""The tag of `Checkpoint.outputs`."""


def encode(session: HeldSession) -> tuple[int, bytes]:
    """The session at its input boundary, as (seq, bytes).

    Outputs are serialized already, and joined behind the other fields: most of a checkpoint is
    never copied into a message.
    """
    machine = session.machine
    due_seq, due_part = machine.acked
    checkpoint = Checkpoint(
        format=FORMAT,
        epoch=session.epoch,
        seq=machine.computed_seq,
        due_seq=due_seq,
        due_part=due_part,
        state=session.lane.model.dump_state(session.state),
        training=session.training,
        learned=session.trainer.dump_training() if session.trainer is not None else b"",
        paused=session.paused,
        command_results=session.results.values(),
        lost_from=machine.lost[0],
        lost_to=machine.lost[1],
    )
    session.state_bytes = len(checkpoint.state) + len(checkpoint.learned)
    parts = [checkpoint.SerializeToString()]
    frames = [kept.frame for *_, kept in machine.unacknowledged()]
    if frames:
        parts += (_OUTPUTS, varint(sum(map(len, frames))), *frames)
    return machine.computed_seq, b"".join(parts)


def decode(data: bytes) -> Checkpoint:
    """A checkpoint's content.

    Raises:
        InvalidInput: it is not one, or of a format that this version does not know.
    """
    try:
        checkpoint = Checkpoint.FromString(data)
    except DecodeError:
        raise InvalidInput("the checkpoint does not decode", code="bad_checkpoint") from None
    if checkpoint.format != FORMAT:
        raise InvalidInput(
            f"the checkpoint has format {checkpoint.format}, this version reads {FORMAT}",
            code="bad_checkpoint",
        )
    return checkpoint


def restore(session: HeldSession, checkpoint: Checkpoint) -> None:
    """Put a fresh session where the checkpoint was taken.

    Raises:
        InvalidInput: its state is not one of this network.
    """
    model = session.lane.model
    if checkpoint.learned:
        trainer = model.fork()
        trainer.load_training(checkpoint.learned)
        session.train_privately(trainer)
        session.machine.stateful = True
    session.state = model.load_state(checkpoint.state) if checkpoint.state else model.new_state()
    session.state_bytes = len(checkpoint.state) + len(checkpoint.learned)
    session.training = checkpoint.training
    session.paused = checkpoint.paused
    for result in checkpoint.command_results:
        session.remember(result)
    session.machine.restore(
        seq=checkpoint.seq,
        acked=(checkpoint.due_seq, checkpoint.due_part),
        lost=(checkpoint.lost_from, checkpoint.lost_to),
        outputs=(
            (
                output.seq,
                output.part,
                output.last,
                KeptOutput(
                    output.seq,
                    output.part,
                    output.last,
                    ServerFrame(outputs=(output,)).SerializeToString(),
                    output.error.code in DROPPED_CODES,
                ),
            )
            for output in checkpoint.outputs.outputs
        ),
    )


@dataclass(slots=True)
class CheckpointStats:
    """What was written, for metrics."""

    written: int = 0
    bytes: int = 0
    fenced: int = 0
    failed: int = 0


class Checkpointer:
    """Writes dirty sessions' checkpoints, many in one round trip.

    Args:
        store: refuses a write of an epoch that is not the session's newest.
        worker: who writes.
        every_inputs: a session is due after this many computed inputs,
        every_s: or this long after the first of them.
        on_written: is told of a session whose durable input moved.
        on_done: is called when a round of writes is over, however it went.
        on_fenced: is told of a session that another worker owns.
    """

    def __init__(
        self,
        store: SessionStore,
        *,
        worker: str,
        every_inputs: int,
        every_s: float,
        on_written: Callable[[HeldSession], None],
        on_done: Callable[[], None],
        on_fenced: Callable[[HeldSession], None],
        clock: Monotonic = monotonic,
    ) -> None:
        self.stats = CheckpointStats()
        self._store = store
        self._worker = worker
        self._every_inputs = every_inputs
        self._every_s = every_s
        self._on_written = on_written
        self._on_done = on_done
        self._on_fenced = on_fenced
        self._clock = clock
        self._dirty: dict[HeldSession, None] = {}
        self._wake = asyncio.Event()

    def note(self, session: HeldSession) -> None:
        """Inputs were computed: the session is dirty when it is stateful."""
        machine = session.machine
        dirty = machine.dirty_inputs
        if not dirty:
            return
        if session not in self._dirty:
            self._dirty[session] = None
            session.dirty_since = self._clock()
        if machine.hold:
            # The others wait for the next tick: many in one round trip cost a third of one each.
            self._wake.set()

    def forget(self, session: HeldSession) -> None:
        """The session is not held any more."""
        self._dirty.pop(session, None)

    async def run(self) -> None:
        """Write what is due, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(TICK_S if self._dirty else 1.0):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            due = self._due()
            if due and not await self.write(due):
                await asyncio.sleep(RETRY_S)

    def _due(self) -> list[HeldSession]:
        aged = self._clock() - self._every_s
        return [
            session
            for session in self._dirty
            if not session.busy
            and (
                session.dirty_since <= aged
                or session.machine.dirty_inputs >= self._every_inputs
                or session.machine.hold
            )
        ]

    async def write(self, sessions: Iterable[HeldSession]) -> bool:
        """Write these sessions' checkpoints now. False: the store failed; they stay dirty.

        A session whose input is being computed is left out: it is not at an input boundary.
        """
        ready = [
            session
            for session in sessions
            if not session.busy and not session.checkpointing and not session.closed
        ]
        for start in range(0, len(ready), SAVES_AT_ONCE):
            if not await self._write_some(ready[start : start + SAVES_AT_ONCE]):
                return False
        return True

    async def _write_some(self, sessions: list[HeldSession]) -> bool:
        taken: list[tuple[HeldSession, int]] = []
        saves: list[Save] = []
        for session in sessions:
            seq, data = encode(session)
            taken.append((session, seq))
            saves.append(
                Save(
                    session=session.id,
                    epoch=session.epoch,
                    data=data,
                    record=session.record,
                    worker=self._worker,
                    seat=session.seat,
                )
            )
            session.checkpointing = True
            self._dirty.pop(session, None)
        try:
            answers = await self._store.save(saves)
        except DirectContactError as error:
            self.stats.failed += len(saves)
            logger.warning("checkpoints were not written: %s", error)
            for session, _ in taken:
                session.checkpointing = False
                self.note(session)
            self._on_done()
            return False
        for (session, seq), save, owned in zip(taken, saves, answers, strict=True):
            session.checkpointing = False
            if session.closed:
                continue
            if not owned:
                self.stats.fenced += 1
                self._on_fenced(session)
                continue
            self.stats.written += 1
            self.stats.bytes += len(save.data)
            session.machine.checkpointed(seq)
            self.note(session)
            self._on_written(session)
        self._on_done()
        return True
