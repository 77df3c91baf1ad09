"""What travels between the machines, and what the network is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from direct_contact.session import Cursor

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


class ClientFrame(bytes):
    """As long as it would be on the wire; what it says stands beside the bytes."""

    inputs: tuple[Input, ...]
    ack: Cursor | None

    def __new__(cls, inputs: tuple[Input, ...] = (), ack: Cursor | None = None) -> ClientFrame:
        frame = super().__new__(cls, sum(one.size for one in inputs) + 40 * len(inputs))
        frame.inputs, frame.ack = inputs, ack
        return frame


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
