"""A session that this worker holds."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ann_workers.backends.headers import KnownHeaders
from ann_workers.backends.port import Model, State, TrainableModel
from ann_workers.backends.remote import RemoteModel
from ann_workers.session import WorkerMachine
from protos.dc.v1.stream_pb2 import Command, CommandResult, Input
from registry.live import Seat, SessionRecord

RESULTS_KEPT: Final = 64
"""Answers to commands that a session remembers, so that a repeated command is only answered."""


@dataclass(slots=True)
class KeptOutput:
    """An output as a serialized ServerFrame, with its place."""

    seq: int
    part: int
    last: bool
    frame: bytes
    dropped: bool = False
    """The input was not computed; if it is sent again, then with `skip`."""


Arrived: TypeAlias = tuple[Input, float]
"""An input that waits for its turn, and when it came (by the monotonic clock)."""

Asker: TypeAlias = "asyncio.Future[CommandResult] | None"
"""Who waits for a result outside the stream; None: the client, on the stream."""


@dataclass(slots=True)
class PendingCommand:
    """A command without a result, and everybody who asked for it."""

    command: Command
    askers: list[Asker]


@dataclass(slots=True, eq=False)
class Lane:
    """A model, and the sessions that share it and have something to compute."""

    model: Model
    ready: deque[HeldSession] = field(default_factory=deque)
    item_s: float = 20e-6
    """Estimated seconds per input, smoothed; the start is a small network's."""
    headers: KnownHeaders = field(init=False)
    remote: RemoteModel | None = field(init=False)
    """The model, where another server computes it."""
    under_way: int = 0
    """Inputs that were sent there and not answered."""
    away_since: float = 0.0
    """When that server was first found away, by the monotonic clock; 0: it answered since."""

    def __post_init__(self) -> None:
        """Nothing is known of this model's inputs yet."""
        self.headers = KnownHeaders(self.model.signature)
        self.remote = self.model if isinstance(self.model, RemoteModel) else None


class HeldSession:
    """One owned session: its machine, its network, its state, and what waits."""

    __slots__ = (
        "attached",
        "busy",
        "cancelled",
        "careful",
        "carrying",
        "checkpointing",
        "closed",
        "commands",
        "detached_at",
        "dirty_since",
        "epoch",
        "fatal_seq",
        "id",
        "lane",
        "machine",
        "paused",
        "progress_sent",
        "queue",
        "record",
        "results",
        "scheduled",
        "seat",
        "standing",
        "state",
        "state_bytes",
        "touched_at",
        "trainer",
        "training",
    )

    def __init__(
        self,
        record: SessionRecord,
        *,
        epoch: int,
        lane: Lane,
        machine: WorkerMachine[KeptOutput],
    ) -> None:
        self.id: str = record.id
        self.record = record
        self.epoch = epoch
        self.machine = machine
        self.lane = lane
        self.trainer: TrainableModel | None = None
        self.training = False
        self.state: State | None = lane.model.new_state()
        self.state_bytes = 0
        """Of its state and what it has learned, in the last checkpoint."""
        self.paused = False
        self.queue: deque[Arrived] = deque()
        self.commands: deque[PendingCommand] = deque()
        """What waits for its input boundary."""
        self.carrying: PendingCommand | None = None
        """What is being carried out."""
        self.results: OrderedDict[str, CommandResult] = OrderedDict()
        self.cancelled: set[int] = set()
        self.seat = Seat()
        self.attached = False
        self.detached_at = 0.0
        self.touched_at = 0.0
        self.dirty_since = 0.0
        self.checkpointing = False
        self.scheduled = False
        """In a lane of the engine."""
        self.busy = False
        """An input of it is being computed."""
        self.careful = False
        """Its inputs are computed alone, since its owners died over it."""
        self.fatal_seq = 0
        """The input that they died over; 0: none is known."""
        self.standing = False
        """It stands at an input boundary while a command is carried out."""
        self.closed = False
        self.progress_sent = (0, 0)

    def train_privately(self, trainer: TrainableModel) -> None:
        """From now on the session computes with weights of its own, and has its own lane."""
        self.trainer = trainer
        self.lane = Lane(trainer)

    def share(self, lane: Lane) -> None:
        """Give up private weights for those of the version."""
        self.trainer = None
        self.training = False
        self.lane = lane

    @property
    def gateway(self) -> str:
        """Where the client is, or was last."""
        return self.seat.gateway

    @property
    def attachment(self) -> int:
        """The number of the client's attachment."""
        return self.seat.attachment

    def remember(self, result: CommandResult) -> None:
        """Keep the answer to a command; the oldest of many is forgotten."""
        self.results[result.command_id] = result
        while len(self.results) > RESULTS_KEPT:
            self.results.popitem(last=False)
