"""The spec of an ONNX network: its tensors, its state, and how inputs may share a computation."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from foundation.errors import InvalidInput
from registry.networks.layers import SpecModel

BATCHED: Final = "across sessions"
"""What `OnnxSpec.batching` says when inputs of several sessions are stacked."""
MAX_STATE_TENSORS: Final = 64

TensorName = Annotated[str, Field(min_length=1, max_length=255)]
Dimensions = Annotated[tuple[int, ...], Field(strict=False)]


class TensorShape(SpecModel):
    """A tensor of the file; -1 in `shape` is an axis of any size."""

    name: TensorName
    datatype: str
    shape: Dimensions


class StateRequest(SpecModel):
    """A tensor that the session carries, as the creator asked for it.

    `output` of one input is `input` of the next. `shape` gives the sizes of free axes; None: as in
    the file.
    """

    input: TensorName
    output: TensorName
    initial: Literal["zeros"] = "zeros"
    shape: Annotated[Dimensions, Field(min_length=0, max_length=16)] | None = None


class StateTensor(SpecModel):
    """A tensor that the session carries: `shape` is one session's, without free axes."""

    input: TensorName
    output: TensorName
    initial: Literal["zeros"] = "zeros"
    datatype: str
    shape: Dimensions


class OnnxSpec(SpecModel):
    """What a worker needs to serve an ONNX file; made by inspecting it.

    `inputs` and `outputs` are what clients see: state tensors are not among them. `batch_axes` has
    the batch axis of each tensor that has one, by name; it is empty when inputs are computed one
    by one, and `batching` then says why.
    """

    name: str
    inputs: Annotated[tuple[TensorShape, ...], Field(strict=False)]
    outputs: Annotated[tuple[TensorShape, ...], Field(strict=False)]
    state: Annotated[tuple[StateTensor, ...], Field(strict=False)] = ()
    batch_axes: Annotated[dict[str, int], Field(default_factory=dict)]
    batching: str = BATCHED

    @property
    def stateful(self) -> bool:
        """True when a session carries state from one input to the next."""
        return bool(self.state)


def parse_onnx_spec(data: Any) -> OnnxSpec:
    """The spec of a manifest.

    Raises:
        InvalidInput: naming the field at fault.
    """
    try:
        return OnnxSpec.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"spec.{path}: {first['msg']}", field=f"spec.{path}") from error
