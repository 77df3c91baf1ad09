"""A worker: a `WorkerMachine` in a shell in miniature."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from ann_workers.session import Accepted, WorkerMachine
from tests.support.session_world.broker import Process
from tests.support.session_world.store import Checkpoint
from tests.support.session_world.values import (
    INITIAL,
    WINDOW_BYTES,
    WINDOW_INPUTS,
    ClientFrame,
    Input,
    Message,
    Output,
    parts_of,
    step,
)

if TYPE_CHECKING:
    from tests.support.session_world.world import World


class Held:
    """The session at a worker."""

    def __init__(self, machine: WorkerMachine[Output], epoch: int, state: str) -> None:
        self.machine = machine
        self.epoch = epoch
        self.state = state
        self.queue: deque[Input] = deque()
        self.gateway = ""
        self.attachment = 0
        self.attached = False
        self.missing: set[int] = set()
        """The truth about what is lost: the inputs whose effect is not in `state`."""


class Worker(Process):
    """One worker process."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.held: Held | None = None

    # ------------------------------------------------------------ what comes

    def receive(self, peer: str, message: Message) -> None:
        held = self.held
        if message.kind == "attach":
            self._attach(peer, message)
        elif held is None:
            if message.kind != "detach":
                self._release(peer, message, "unknown")
        elif (message.attachment, message.epoch) != (held.attachment, held.epoch):
            return
        elif message.kind == "frame":
            self._frame(held, message.frame)
        elif message.kind == "detach":
            held.attached = False
        elif message.kind == "send_after":
            # What the gateway misses may have been a wish for inputs.
            self._send(held, "send_from", seq=held.machine.next_seq)
            held.machine.send_again(message.due)
            self.flush(progress=True)

    def gap(self, peer: str) -> None:
        held = self.held
        if held is not None and held.attached and held.gateway == peer:
            # Inputs may be missing here, and a wish for outputs may be.
            self._send(held, "send_from", seq=held.machine.next_seq)
            held.machine.send_again()
            self.flush(progress=True)

    def _frame(self, held: Held, frame: ClientFrame) -> None:
        for one in frame.inputs:
            accepted = held.machine.accept(one.seq)
            if accepted is Accepted.TAKEN:
                held.queue.append(one)
            elif accepted is Accepted.GAP:
                self._send(held, "send_from", seq=held.machine.next_seq)
                break
        if frame.ack is not None:
            window = held.machine.window_seq
            held.machine.acknowledge(frame.ack)
            if held.machine.window_seq > window:
                self.flush(progress=True)

    # ------------------------------------------------------------ attaching

    def _attach(self, peer: str, message: Message) -> None:
        held = self.held
        if held is not None and message.above_epoch > held.epoch:
            self.held = held = None
        if held is not None:
            if message.attachment < held.attachment:
                self._release(peer, message, "superseded")
                return
            outcome = "resumed"
        else:
            if not message.take:
                self._release(peer, message, "unknown")
                return
            if not self.world.store.take(self.name, message.above_epoch, message.attachment):
                self._release(peer, message, "superseded")
                return
            held = self._own()
            outcome = "replayed"
        told = held.machine.lost
        if self.world.stateful and message.oldest > held.machine.next_seq:
            held.missing |= set(range(held.machine.next_seq, message.oldest))
            # Exactly what nobody can send again, together with what was not heard of before.
            told = told[0] or held.machine.next_seq, message.oldest - 1
        place = held.machine.attach(
            due=message.acknowledged, oldest_retained_seq=message.oldest, shown=message.received
        )
        assert (place.lost_from, place.lost_to) == told, "not the exact range"
        held.gateway, held.attachment, held.attached = peer, message.attachment, True
        if place.lost_to:
            outcome = "lost"
        self._send(
            held,
            "attached",
            outcome=outcome,
            attempt=message.attempt,
            wanted=place.next_seq,
            lost_from=place.lost_from,
            lost_to=place.lost_to,
            missing=frozenset(held.missing),
        )

    def _own(self) -> Held:
        world = self.world
        machine: WorkerMachine[Output] = WorkerMachine(
            stateful=world.stateful,
            hold=world.hold,
            window_inputs=WINDOW_INPUTS,
            window_bytes=WINDOW_BYTES,
        )
        held = self.held = Held(machine, world.store.epoch, INITIAL)
        checkpoint = world.store.checkpoint
        if checkpoint is not None:
            machine.restore(
                seq=checkpoint.seq,
                acked=checkpoint.acked,
                outputs=checkpoint.outputs,
                lost=checkpoint.lost,
            )
            held.state = checkpoint.state
            held.missing = set(checkpoint.missing)
        return held

    # ------------------------------------------------------------ what it does by itself

    def compute(self, *, drop: bool = False) -> None:
        """Compute the next input, or answer that it was dropped."""
        held = self.held
        if held is None or not held.queue:
            return
        one = held.queue.popleft()
        # What the client may have seen is computed again, whatever its deadline says.
        if one.skip or (drop and held.machine.may_drop(one.seq)):
            answer = Output(one.seq, 0, True, held.state, held.state, dropped=True)
            held.machine.computed(one.seq, 0, True, answer)
            return
        salt = str(held.epoch) if self.world.hold else ""
        was = held.state if self.world.stateful else INITIAL
        now = step(was, one.x, salt)
        if self.world.stateful:
            held.state = now
        parts = parts_of(one.x)
        for part in range(parts):
            last = part == parts - 1
            held.machine.computed(one.seq, part, last, Output(one.seq, part, last, was, now))

    def flush(self, *, progress: bool = False) -> None:
        """Send the outputs that may leave, and the credits."""
        held = self.held
        if held is None or not held.attached:
            return
        outputs = held.machine.sendable()
        if outputs or progress:
            self._send(held, "outputs", outputs=outputs)

    def checkpoint(self) -> None:
        """Write the session as it is; being fenced ends its ownership."""
        held = self.held
        if held is None or not self.world.stateful:
            return
        machine = held.machine
        saved = Checkpoint(
            machine.computed_seq,
            machine.acked,
            machine.unacknowledged(),
            held.state,
            machine.lost,
            frozenset(held.missing),
        )
        if not self.world.store.save(held.epoch, saved):
            if held.attached:
                self._send(held, "released", release="unknown")
            self.held = None
            return
        machine.checkpointed(saved.seq)
        self.flush(progress=True)

    def hand_over(self) -> None:
        """Drain: checkpoint and let go."""
        held = self.held
        if held is None:
            return
        self.checkpoint()
        if self.held is held:
            if held.attached:
                self._send(held, "released", release="moved")
            self.held = None

    def _release(self, peer: str, message: Message, release: str) -> None:
        self.world.broker.send(
            self.name,
            peer,
            Message("released", message.attachment, message.epoch, {"release": release}),
        )

    def _send(self, held: Held, kind: str, **fields: Any) -> None:
        machine = held.machine
        fields |= {
            "durable": machine.durable_seq,
            "window": machine.window_seq,
            "bytes": machine.window_bytes,
        }
        self.world.broker.send(
            self.name, held.gateway, Message(kind, held.attachment, held.epoch, fields)
        )
