"""The port of computing: what a worker asks of a backend, whatever computes behind it.

A backend loads one immutable network version into a `Model`. One thread at a time uses a model,
and the same thread uses all models forked from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any, Protocol

from ann_workers.backends.request import Answer, Request, State
from protos.dc.v1.tensor_pb2 import Tensor

__all__ = [
    "Answer",
    "Backend",
    "Model",
    "Request",
    "Signature",
    "State",
    "TensorSpec",
    "TrainableModel",
]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What one tensor looks like; -1 in `shape` is an axis of any size.

    Raises:
        TypeError: `shape` holds what is no integer.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        # Compiled modules rely on the types, and backends take theirs from files and numpy.
        object.__setattr__(self, "shape", tuple(index(axis) for axis in self.shape))


@dataclass(frozen=True, slots=True)
class Signature:
    """What goes in, what comes out, and how the worker may batch it.

    Raises:
        TypeError: `max_batch` is no integer.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    stateful: bool
    trainable: bool
    max_batch: int
    """Requests in one call of `infer` beyond which a larger batch gains nothing."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))
        object.__setattr__(self, "outputs", tuple(self.outputs))
        object.__setattr__(self, "max_batch", index(self.max_batch))


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
