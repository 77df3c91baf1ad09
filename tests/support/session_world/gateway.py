"""A gateway: a `ServerMachine` in a shell in miniature."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from direct_contact.session import Cursor, Delivery, ServerMachine, ServerState, after
from tests.support.session_world.broker import Process
from tests.support.session_world.values import ClientFrame, Input, Message, Output

if TYPE_CHECKING:
    from tests.support.session_world.world import World


class Gateway(Process):
    """One attachment, at a gateway process of its own."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.name = f"gateway-{number}"
        self.number = number
        self.machine = ServerMachine()
        self.worker = ""
        self.first_owner = world.store.owner
        self.first_epoch = world.store.epoch
        self.attaching = False
        self.attempt = 0
        """Which Attach is awaited: an earlier one's answer may still come, from a worker that
        froze and woke up."""
        self.from_client: deque[Any] = deque()
        self.to_client: deque[tuple[str, Any]] = deque()
        self.open = True
        """The socket, seen from here."""

    # ------------------------------------------------------------ the client's side

    def read(self) -> None:
        """The next frame of the client."""
        frame = self.from_client.popleft()
        machine = self.machine
        if isinstance(frame, dict):
            machine.hello(**frame)
            self._place(self.first_owner, take=False)
            return
        forward = machine.state is ServerState.OPEN
        if frame.ack is not None:
            machine.acknowledge(frame.ack)
        if frame.inputs:
            forward = machine.accept(
                first_seq=frame.inputs[0].seq, count=len(frame.inputs), frame=frame
            )
        if forward:
            # It may have been under way when an answer of it told of a drop.
            self._to_worker("frame", frame=self._marked(frame))
        elif frame.ack is not None and machine.state is ServerState.OPEN:
            # The worker has these inputs already; the acknowledgement with them is news.
            self._acknowledge()

    def closed(self) -> None:
        """The socket is gone."""
        self.open = False
        self.machine.closed()
        self.from_client.clear()
        self.to_client.clear()
        if self.worker:
            self._to_worker("detach")

    # ------------------------------------------------------------ finding a worker

    def _place(self, worker: str, *, take: bool) -> None:
        if not worker:
            worker, take = self.world.choose_worker(), True
        self.worker = worker
        self.attaching = True
        self.attempt += 1
        machine = self.machine
        self._to_worker(
            "attach",
            received=machine.due,
            acknowledged=machine.acknowledged,
            oldest=machine.oldest_retained_seq,
            take=take,
            attempt=self.attempt,
            above_epoch=max(machine.epoch, self.first_epoch),
        )

    def try_again(self) -> None:
        """Attach took too long, or the worker is gone or silent: take another."""
        if not self.open:
            return
        if self.attaching:
            self._place("", take=True)
        elif self.machine.state is ServerState.OPEN:
            self.machine.worker_lost()
            self._place("", take=True)

    # ------------------------------------------------------------ the worker's side

    def receive(self, peer: str, message: Message) -> None:
        machine = self.machine
        if not self.open or message.attachment != self.number or peer != self.worker:
            return
        if machine.epoch and message.epoch < machine.epoch:
            return
        if message.kind == "attached":
            self._attached(message)
        elif message.kind == "released":
            self._released(message)
        elif machine.state is not ServerState.OPEN:
            return
        elif message.kind == "send_from":
            # Whatever was lost on the way may have held an acknowledgement.
            self._resend(machine.kept_from(message.seq))
            self._acknowledge()
        else:
            self._deliver(message)

    def gap(self, peer: str) -> None:
        if self.open and peer == self.worker:
            self.machine.syncing = False
            self._resynchronise()

    def _attached(self, message: Message) -> None:
        machine = self.machine
        if not self.attaching or message.attempt != self.attempt:
            return
        greeting = machine.state is ServerState.ATTACHING
        frames = machine.attached(
            epoch=message.epoch,
            wanted_seq=message.wanted,
            durable_seq=message.durable,
            window_seq=message.window,
            window_bytes=message.bytes,
            lost_to=message.lost_to,
        )
        self.attaching = False
        if greeting:
            self.to_client.append(("welcome", (message, machine.next_seq)))
        else:
            self.to_client.append(("moved", message))
            self.to_client.append(("progress", message))
        self._resend(frames)
        # What came while there was no worker to pass it on to.
        self._acknowledge()

    def _acknowledge(self) -> None:
        self._to_worker("frame", frame=ClientFrame((), self.machine.acknowledged))

    def _resend(self, frames: Any) -> None:
        for frame in frames:
            self._to_worker("frame", frame=ClientFrame(self._marked(frame).inputs))

    def _marked(self, frame: ClientFrame) -> ClientFrame:
        dropped = self.machine.dropped
        inputs = tuple(
            Input(one.seq, one.x, one.size, skip=one.skip or one.seq in dropped)
            for one in frame.inputs
        )
        return ClientFrame(inputs, frame.ack)

    def _released(self, message: Message) -> None:
        if message.release == "superseded":
            self.world.close_by_gateway(self)
        elif self.attaching:
            self._place("", take=True)
        elif self.machine.state is ServerState.OPEN:
            self.machine.worker_lost()
            self._place("", take=True)

    def _deliver(self, message: Message) -> None:
        machine = self.machine
        machine.progress(
            durable_seq=message.durable, window_seq=message.window, window_bytes=message.bytes
        )
        outputs: list[Output] = message.outputs
        machine.dropped.update(one.seq for one in outputs if one.dropped)
        if outputs:
            first = Cursor(outputs[0].seq, outputs[0].part)
            last = outputs[-1]
            next_due = after(last.seq, last.part, last.last)
            match machine.deliver(first, next_due):
                case Delivery.FORWARD:
                    self.to_client.append(("outputs", outputs))
                case Delivery.TRIM:
                    kept = [one for one in outputs if (one.seq, one.part) >= machine.due]
                    self.to_client.append(("outputs", kept))
                    machine.trimmed(next_due)
                case Delivery.DROP:
                    pass
                case Delivery.GAP:
                    self._resynchronise()
        self.to_client.append(("progress", message))

    def _resynchronise(self) -> None:
        machine = self.machine
        if machine.state is ServerState.OPEN and not machine.syncing:
            machine.syncing = True
            self._to_worker("send_after", due=machine.acknowledged)

    def _to_worker(self, kind: str, **fields: Any) -> None:
        self.world.broker.send(
            self.name, self.worker, Message(kind, self.number, self.machine.epoch, fields)
        )
