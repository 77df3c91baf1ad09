"""The session store: the fence and the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.session_world.values import Output


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
