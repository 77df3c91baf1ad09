"""What a backend is given to compute, and what it answers: the compiled part of the port."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from foundation.errors import DirectContactError
from protos.dc.v1.tensor_pb2 import Payload, Tensor

State: TypeAlias = Any
"""What a session carries from one input to the next. Only its own backend looks inside."""


class Request:
    """One input of one session.

    Args:
        tensors: they have passed `Model.check`; None: parsed from `payload` when they are read.
        target: what to learn from, or to compare with.
        state: what the session's last answer carried, or `Model.new_state()`; None means the latter
            too.
        payload: a serialized `dc.v1.Payload`, where `tensors` is None.
        data: the bytes of the one tensor, where its header was recognised as the one of the
            signature; None: read `tensors`.
    """

    __slots__ = ("_tensors", "data", "payload", "state", "target")

    def __init__(
        self,
        tensors: Sequence[Tensor] | None = None,
        target: Sequence[Tensor] | None = None,
        state: State | None = None,
        *,
        payload: bytes = b"",
        data: bytes | None = None,
    ) -> None:
        self._tensors = tensors
        self.target = target
        self.state = state
        self.payload = payload
        self.data = data

    @property
    def tensors(self) -> Sequence[Tensor]:
        """The input's tensors, in the order in which they came."""
        if self._tensors is None:
            self._tensors = Payload.FromString(self.payload).tensors
        return self._tensors


@dataclass(slots=True)
class Answer:
    """The answer to one request: either `error`, or `payload` and the state that follows.

    `payload` is a serialized `dc.v1.Payload`. With an error, the session's state is unchanged and
    `state` is the request's.
    """

    payload: bytes
    state: State | None = None
    error: DirectContactError | None = None
