"""What a session hands to its user: outputs, notices, figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from direct_contact.client.tensors import Array, decode_payload
from foundation.errors import DirectContactError, InternalError, InvalidInput

LOSS = "loss"
"""The tensor that an input with a target is answered with, beside the network's own output."""


class Output:
    """The answer to the input `seq`, or one part of it. Arrays are decoded when first asked for.

    Attributes:
        seq: the number that `send` returned.
        part: from 0; most networks answer in one part.
        last: this is the answer's last part.
        payload: the serialized `dc.v1.Payload`; empty with an error.
        error: the input failed: `InputFailed`, or `SessionLost`.
        queue_us: microseconds at the worker before the computation.
        compute_us: microseconds of the computation of the batch that held this input.
        latency_s: seconds from sending to receiving, measured here; resends included.
    """

    __slots__ = (
        "_tensors",
        "compute_us",
        "error",
        "gathered",
        "last",
        "latency_s",
        "part",
        "payload",
        "queue_us",
        "seq",
    )

    def __init__(
        self,
        *,
        seq: int,
        part: int = 0,
        last: bool = True,
        payload: bytes = b"",
        error: DirectContactError | None = None,
        queue_us: int = 0,
        compute_us: int = 0,
        latency_s: float = 0.0,
    ) -> None:
        self.seq = seq
        self.part = part
        self.last = last
        self.payload = payload
        self.error = error
        self.queue_us = queue_us
        self.compute_us = compute_us
        self.latency_s = latency_s
        self.gathered: tuple[Output, ...] = ()
        self._tensors: dict[str, Array] | None = None

    @property
    def parts(self) -> tuple[Output, ...]:
        """Every part of the answer, where they were gathered (`infer_full`); else this one."""
        return self.gathered or (self,)

    @property
    def tensors(self) -> dict[str, Array]:
        """Every tensor by name, writable and owned by the caller; empty with an error."""
        tensors = self._tensors
        if tensors is None:
            tensors = self._tensors = decode_payload(self.payload)
        return tensors

    @property
    def array(self) -> Array:
        """The network's own output: the first tensor.

        Raises:
            DirectContactError: the `error`, where there is one.
        """
        if self.error is not None:
            raise self.error
        for array in self.tensors.values():
            return array
        raise InternalError(f"the answer to input {self.seq} holds no tensor")

    @property
    def loss(self) -> float | None:
        """The loss, where the input had a target."""
        loss = self.tensors.get(LOSS)
        return None if loss is None else float(np.mean(loss))

    def whole(self) -> Array:
        """The array of an answer in one part.

        Raises:
            DirectContactError: the `error`, where there is one.
            InvalidInput: the answer has several parts.
        """
        if self.gathered:
            raise InvalidInput(
                f"the answer to input {self.seq} has {len(self.gathered)} parts, infer() returns "
                "one: use infer_full(), or send() and the iterator"
            )
        return self.array

    def __repr__(self) -> str:
        told = f"error={self.error!r}" if self.error else f"{len(self.payload)} bytes"
        return f"<Output seq={self.seq} part={self.part} last={self.last} {told}>"


class NoticeKind(Enum):
    """What the server tells about a session; the client has done what is needed."""

    MIGRATED = "migrated"
    DRAINING = "draining"
    PAUSED = "paused"
    RESUMED = "resumed"
    WAITING = "waiting"
    LOST = "lost"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something happened to the session."""

    kind: NoticeKind
    worker: str = ""
    epoch: int = 0
    reconnect_after_ms: int = 0
    lost_from: int = 0
    lost_to: int = 0


@dataclass(slots=True)
class SessionStats:
    """What one session has done so far, seen from this client."""

    frames_sent: int = 0
    frames_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    inputs_sent: int = 0
    inputs_resent: int = 0
    outputs_received: int = 0
    duplicates_dropped: int = 0
    inputs_lost: int = 0
    connects: int = 0
    reconnects: int = 0
    outcomes: list[str] = field(default_factory=list)
    """What each attach was answered with: new, resumed, replayed or lost; the last 100."""
