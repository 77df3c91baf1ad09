"""The three session machines joined in memory, with everything that can go wrong between them.

One session: a client, gateways that come and go with its connections, workers that die, freeze,
hand over and take over, a broker that loses, repeats and reorders, and a store with the fence and
the checkpoint. The shells here do in miniature what the real ones do; what is tested is that the
machines keep the session's promises under any order of events.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from ann_workers.session import Accepted, WorkerMachine
from direct_contact.session import (
    ClientMachine,
    ClientState,
    Cursor,
    Delivery,
    ServerMachine,
    ServerState,
    after,
    before,
)

WINDOW_INPUTS = 8
WINDOW_BYTES = 200_000
INITIAL = "-"


def step(state: str, x: int, salt: str = "") -> str:
    """The network: its state is a running hash of its inputs."""
    return hashlib.blake2b(f"{state}{x}{salt}".encode(), digest_size=6).hexdigest()


def parts_of(x: int) -> int:
    """How many parts the answer to an input has."""
    return 1 + x % 3


@dataclass(frozen=True)
class Input:
    seq: int
    x: int
    size: int
    skip: bool = False


@dataclass(frozen=True)
class Output:
    seq: int
    part: int
    last: bool
    before: str
    """The state before the input, and"""
    after: str
    """the state after it."""
    dropped: bool = False


@dataclass(frozen=True)
class ClientFrame:
    inputs: tuple[Input, ...] = ()
    ack: Cursor | None = None

    def __len__(self) -> int:
        return sum(one.size for one in self.inputs) + 40 * len(self.inputs)

    def __bool__(self) -> bool:
        return True


@dataclass(frozen=True)
class Message:
    """An item on the broker."""

    kind: str
    attachment: int
    epoch: int
    fields: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(name) from None


class Process:
    """Whatever has an inbox on the broker."""

    name: str
    alive = True

    def receive(self, peer: str, message: Message) -> None:
        raise NotImplementedError

    def gap(self, peer: str) -> None:
        raise NotImplementedError


class Broker:
    """Numbered links that lose, repeat and reorder."""

    def __init__(self) -> None:
        self.processes: dict[str, Process] = {}
        self.queues: dict[tuple[str, str], list[tuple[int, Message | None]]] = {}
        self._sent: dict[tuple[str, str], int] = {}
        self._received: dict[tuple[str, str], int] = {}

    def send(self, source: str, target: str, message: Message) -> None:
        link = (source, target)
        self._sent[link] = self._sent.get(link, 0) + 1
        self.queues.setdefault(link, []).append((self._sent[link], message))

    def heartbeat(self, link: tuple[str, str]) -> None:
        if self.processes[link[0]].alive:
            self.queues.setdefault(link, []).append((self._sent.get(link, 0), None))

    def links(self) -> list[tuple[str, str]]:
        """Every link that was ever used, oldest first."""
        return list(self._sent)

    def busy(self) -> list[tuple[str, str]]:
        """Every link with something on it."""
        return [link for link, queue in self.queues.items() if queue]

    def deliver(self, link: tuple[str, str], index: int = 0) -> None:
        queue = self.queues[link]
        number, message = queue.pop(index % len(queue))
        target = self.processes[link[1]]
        if not target.alive:
            return
        expected = self._received.get(link, 0) + (0 if message is None else 1)
        self._received[link] = number
        if message is not None:
            target.receive(link[0], message)
        if number != expected:
            target.gap(link[0])

    def lose(self, link: tuple[str, str], index: int) -> None:
        queue = self.queues[link]
        queue.pop(index % len(queue))

    def repeat(self, link: tuple[str, str], index: int) -> None:
        queue = self.queues[link]
        queue.append(queue[index % len(queue)])


@dataclass
class Checkpoint:
    seq: int
    acked: tuple[int, int]
    outputs: list[tuple[int, int, bool, Output]]
    state: str
    lost: tuple[int, int]
    missing: frozenset[int]


class Store:
    """The fence, the owner, the checkpoint and the newest attachment, changed atomically."""

    def __init__(self) -> None:
        self.epoch = 0
        self.owner = ""
        self.attachment = 0
        self.checkpoint: Checkpoint | None = None
        self.earlier: list[Checkpoint] = []

    def attach(self) -> int:
        self.attachment += 1
        return self.attachment

    def take(self, worker: str, above_epoch: int, attachment: int) -> bool:
        if attachment < self.attachment:
            return False
        self.epoch = max(self.epoch, above_epoch) + 1
        self.owner = worker
        return True

    def save(self, epoch: int, checkpoint: Checkpoint) -> bool:
        if epoch != self.epoch:
            return False
        if self.checkpoint is not None:
            self.earlier.append(self.checkpoint)
        self.checkpoint = checkpoint
        return True


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


class Client:
    """The client, and the judge of what it sees."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.machine: ClientMachine[list[Any]] = ClientMachine()
        self.gateway: Gateway | None = None
        self.outgoing: deque[Input] = deque()
        self.inputs: dict[int, int] = {}
        self.answered: dict[int, str] = {}
        """The state after each input, as its answer told; "dropped" or "lost" for others."""
        self.parts: dict[int, int] = {}
        self.losses: list[tuple[int, int]] = []
        self.without: set[int] = set()
        """The inputs whose effect is lost."""

    # ------------------------------------------------------------ connections

    def connect(self) -> None:
        """Greet through a new gateway."""
        gateway = self.world.new_gateway()
        self.gateway = gateway
        self.machine.connected()
        seq, part, last = before(self.machine.due)
        gateway.from_client.append(
            {
                "seq": seq,
                "part": part,
                "last": last,
                "oldest_retained_seq": self.machine.oldest_retained_seq,
            }
        )

    def cut_off(self) -> None:
        """The socket is gone, seen from here."""
        self.gateway = None
        self.outgoing.clear()
        self.machine.disconnected()

    # ------------------------------------------------------------ sending

    def submit(self, x: int, size: int) -> None:
        """Send an input, if there is credit for it."""
        if not self.machine.has_credit(size):
            return
        seq = self.machine.submit([x, size, False], size)
        self.inputs[seq] = x
        self.outgoing.append(Input(seq, x, size))

    def flush(self, *, ack: bool = True) -> None:
        """Everything that is ready, as one frame."""
        if self.gateway is None or self.machine.state is not ClientState.OPEN:
            return
        inputs = tuple(self.outgoing)
        self.outgoing.clear()
        cursor = self.machine.acknowledgement() if ack or inputs else None
        if inputs or cursor is not None:
            self.gateway.from_client.append(ClientFrame(inputs, cursor))

    # ------------------------------------------------------------ receiving

    def read(self) -> None:
        """The next frame of the gateway."""
        assert self.gateway is not None
        kind, content = self.gateway.to_client.popleft()
        machine = self.machine
        if kind == "welcome":
            message, next_seq = content
            self._attached(message)
            resend = machine.welcome(
                durable_seq=message.durable,
                next_seq=next_seq,
                window_seq=message.window,
                window_bytes=message.bytes,
            )
            self.outgoing = deque(
                Input(kept.seq, kept.item[0], kept.item[1], kept.item[2]) for kept in resend
            )
        elif kind == "moved":
            self._attached(content)
        elif kind == "progress":
            machine.progress(
                durable_seq=content.durable,
                window_seq=content.window,
                window_bytes=content.bytes,
            )
        else:
            for output in content:
                if machine.receive(output.seq, output.part, output.last):
                    self._judge(output)

    def _attached(self, message: Message) -> None:
        if message.outcome == "lost":
            self._lose(message)

    def _lose(self, message: Message) -> None:
        lost_from, lost_to = message.lost_from, message.lost_to
        assert self.world.checkpoint_deleted, "LOST without a lost checkpoint"
        for seq in self.machine.lose(lost_to):
            assert seq not in self.answered
            self.answered[seq] = "lost"
            self.parts.pop(seq, None)
        self.losses.append((lost_from, lost_to))
        self.without = set(message.missing)

    def _judge(self, output: Output) -> None:
        seq = output.seq
        assert seq not in self.answered, "answered twice"
        assert seq - 1 in self.answered or seq == 1, "out of order"
        assert output.part == self.parts.get(seq, 0), "a part is missing or repeated"
        self.parts[seq] = output.part + 1
        if output.dropped:
            assert output.last
            self.answered[seq] = "dropped"
            self._mark_skip(seq)
            return
        was = self._state_before(seq)
        assert was is None or output.before == was, "the history changed"
        was = output.before
        if not self.world.hold:
            assert output.after == step(was, self.inputs[seq]), "a wrong value"
        if output.last:
            assert self.parts[seq] == parts_of(self.inputs[seq])
            self.answered[seq] = output.after

    def _mark_skip(self, seq: int) -> None:
        kept = self.machine.retained(seq)
        if kept is not None:
            kept.item[2] = True

    def _state_before(self, seq: int) -> str | None:
        """The state that every answer seen so far leads to; None: one was never seen."""
        if not self.world.stateful:
            return INITIAL
        state = INITIAL
        for earlier in range(1, seq):
            answer = self.answered[earlier]
            if answer == "dropped" or earlier in self.without:
                continue
            if answer == "lost":
                # The answer is lost, but not the effect: nobody knows whether it was dropped.
                return None
            # After a loss, what was answered before it is computed again on another state.
            state = step(state, self.inputs[earlier]) if self.losses else answer
        return state


class World:
    """Everything together.

    Args:
        stateful: whether the network is.
        hold: `commit_first`: recomputation may differ, and here it does.
    """

    def __init__(self, *, stateful: bool, hold: bool = False) -> None:
        self.stateful = stateful
        self.hold = hold
        self.broker = Broker()
        self.store = Store()
        self.checkpoint_deleted = False
        self.gateways: list[Gateway] = []
        self.workers: list[Worker] = []
        self._workers_made = 0
        self._turn = 0
        for _ in range(3):
            self._new_worker()
        self.client = Client(self)

    # ------------------------------------------------------------ processes

    def _new_worker(self) -> None:
        self._workers_made += 1
        worker = Worker(self, f"worker-{self._workers_made}")
        self.workers.append(worker)
        self.broker.processes[worker.name] = worker

    def new_gateway(self) -> Gateway:
        gateway = Gateway(self, self.store.attach())
        self.gateways.append(gateway)
        self.broker.processes[gateway.name] = gateway
        return gateway

    def choose_worker(self) -> str:
        """The next one in turn: a placement that is no better than chance."""
        self._turn += 1
        return self.workers[self._turn % len(self.workers)].name

    def close_by_gateway(self, gateway: Gateway) -> None:
        """The gateway closes the socket."""
        gateway.closed()
        if self.client.gateway is gateway:
            self.client.cut_off()

    # ------------------------------------------------------------ faults

    def break_link(self) -> None:
        """The client's socket breaks; both ends notice."""
        gateway = self.client.gateway
        if gateway is not None:
            self.client.cut_off()
            gateway.closed()

    def leave_half_open(self) -> None:
        """The client gives its socket up; the gateway does not notice."""
        if self.client.gateway is not None:
            self.client.cut_off()

    def kill_gateway(self) -> None:
        gateway = self.client.gateway
        if gateway is not None:
            gateway.alive = gateway.open = False
            self.client.cut_off()

    def kill_worker(self, index: int) -> None:
        worker = self.workers.pop(index % len(self.workers))
        worker.alive = False
        worker.held = None
        self._new_worker()
        # Its gateways notice: nobody listens there any more.
        for gateway in self.gateways:
            if gateway.worker == worker.name:
                gateway.try_again()

    def delete_checkpoint(self) -> None:
        if self.store.checkpoint is not None:
            self.store.checkpoint = None
            self.checkpoint_deleted = True

    def age_checkpoint(self, number: int) -> None:
        """The store falls back, once, on a replica that missed the newest checkpoints."""
        if self.store.earlier and not self.checkpoint_deleted:
            self.store.checkpoint = self.store.earlier[-1 - number % len(self.store.earlier)]
            self.checkpoint_deleted = True

    # ------------------------------------------------------------ the end

    def heal(self) -> None:
        """No more faults: run until everything is answered and durable.

        Raises:
            AssertionError: it never is.
        """
        for _ in range(400):
            if self._settled():
                return
            self.settle_a_little()
        raise AssertionError(f"stuck: {self.describe()}")

    def settle_a_little(self) -> None:
        """A while without faults."""
        client, broker = self.client, self.broker
        if client.gateway is None:
            client.connect()
        for gateway in self.gateways:
            while gateway.from_client:
                gateway.read()
        for link in broker.links():
            broker.heartbeat(link)
        while busy := broker.busy():
            for link in busy:
                broker.deliver(link)
        for gateway in self.gateways:
            worker = self.broker.processes.get(gateway.worker)
            if (
                gateway.open
                and gateway.alive
                and (gateway.attaching or (worker and not worker.alive))
            ):
                gateway.try_again()
        for worker in self.workers:
            while worker.held is not None and worker.held.queue:
                worker.compute()
            worker.flush()
            worker.checkpoint()
        while client.gateway is not None and client.gateway.to_client:
            client.read()
        client.flush()

    def _settled(self) -> bool:
        machine = self.client.machine
        return (
            len(self.client.answered) == len(self.client.inputs)
            and machine.state is ClientState.OPEN
            and machine.durable_seq == machine.next_seq - 1
            and machine.window_seq >= machine.next_seq - 1 + WINDOW_INPUTS
        )

    def describe(self) -> str:
        """Where everybody stands, for the message of a failed test."""
        machine = self.client.machine
        answered = f"{len(self.client.answered)} of {len(self.client.inputs)}"
        lines = [
            (
                f"client {machine.state} due {machine.due} next {machine.next_seq} durable "
                f"{machine.durable_seq} window {machine.window_seq} answered {answered}"
            )
        ]
        for gateway in self.gateways[-2:]:
            server = gateway.machine
            lines.append(
                f"{gateway.name} open {gateway.open} {server.state} due {server.due} next "
                f"{server.next_seq} epoch {server.epoch} worker {gateway.worker} "
                f"syncing {server.syncing}"
            )
        for worker in self.workers:
            if worker.held is not None:
                held = worker.held
                lines.append(
                    f"{worker.name} epoch {held.epoch} attachment {held.attachment} next "
                    f"{held.machine.next_seq} computed {held.machine.computed_seq} acked "
                    f"{held.machine.acked} checkpoint {held.machine.checkpoint_seq} kept "
                    f"{held.machine.outputs_kept}"
                )
        return "; ".join(lines)
