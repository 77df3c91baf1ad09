"""The port of computing: what a worker asks of a backend, whatever computes behind it.

A backend loads one immutable network version into a `Model`. One thread at a time uses a model,
and the same thread uses all models forked from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from foundation.errors import DirectContactError
from protos.dc.v1.tensor_pb2 import Payload, Tensor

State: TypeAlias = Any
"""What a session carries from one input to the next. Only its own backend looks inside."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What one tensor looks like; -1 in `shape` is an axis of any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """What goes in, what comes out, and how the worker may batch it."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    stateful: bool
    trainable: bool
    max_batch: int
    """Requests in one call of `infer` beyond which a larger batch gains nothing."""


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


class Model(Protocol):
    """One loaded network version."""

    @property
    def signature(self) -> Signature:
        """What goes in and out."""
        ...

    def new_state(self) -> State | None:
        """The state of a session that has seen no input; None when the network is stateless."""
        ...

    def check(self, tensors: Sequence[Tensor]) -> None:
        """Look at an input as it arrives; cheap.

        Raises:
            InvalidInput: naming what was expected and what came.
        """
        ...

    def infer(self, batch: Sequence[Request]) -> list[Answer]:
        """Compute a batch; one answer per request, in order.

        The given states are not changed, so a batch that failed can be computed again. At most one
        request of a stateful session may be in a batch. A request with a target is answered with a
        tensor ``loss`` too, and nothing is learned from it.
        """
        ...

    def dump_state(self, state: State | None) -> bytes:
        """The state for a checkpoint."""
        ...

    def load_state(self, data: bytes) -> State | None:
        """The state from a checkpoint.

        Raises:
            InvalidInput: the bytes are not a state of this network.
        """
        ...

    def fork(self) -> TrainableModel:
        """A private copy for one session to train, with a fresh optimizer.

        Raises:
            InvalidInput: the network can't be trained.
        """
        ...


class TrainableModel(Model, Protocol):
    """A network version that one session trains: its weights are the session's own."""

    def train(self, request: Request) -> Answer:
        """Take one optimization step on this input and its target.

        The payload has the network's output from before the step, and ``loss``, FP32 of shape [].
        An answer with an error has changed nothing.
        """
        ...

    def weights(self) -> bytes:
        """The weights as they are now, as safetensors: those of a new version."""
        ...

    def load_weights(self, data: bytes) -> None:
        """Replace the weights and start the optimizer afresh.

        Raises:
            InvalidInput: they don't fit this network; nothing has changed.
        """
        ...

    def dump_training(self) -> bytes:
        """Weights and optimizer for a checkpoint: training continues from it exactly."""
        ...

    def load_training(self, data: bytes) -> None:
        """Continue from a checkpoint.

        Raises:
            InvalidInput: the bytes are not a training of this network; nothing has changed.
        """
        ...


class Backend(Protocol):
    """A way to compute, found by its entry point's name."""

    @property
    def name(self) -> str:
        """The name under which manifests ask for it."""
        ...

    def load(self, spec: Mapping[str, Any], weights: bytes) -> Model:
        """Load one network version.

        Args:
            spec: the manifest's `spec`, in this backend's own format.
            weights: the weights blob; empty when the manifest names none.

        Raises:
            InvalidInput: spec or weights are not valid.
        """
        ...
