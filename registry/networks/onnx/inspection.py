"""Reading an ONNX file that anybody may have sent: what is in it, and why it can't be served.

Needs the package `onnx`. Its parser is native code: for files from outside, run this in a process
of its own (`python -m registry.networks.onnx`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto, ValueInfoProto

from foundation.errors import InvalidInput
from registry.networks.datatypes import DTYPES
from registry.networks.onnx.batching import Dims, batching_of
from registry.networks.onnx.safety import (
    check_operators,
    check_opsets,
    check_sizes,
    check_tensors,
)
from registry.networks.onnx.spec import (
    MAX_STATE_TENSORS,
    OnnxSpec,
    StateRequest,
    StateTensor,
    TensorShape,
)

MAX_STATE_BYTES: Final = 4 << 20
"""State of one session: it is in memory for each, and in each checkpoint."""

DATATYPES: Final = {
    TensorProto.BOOL: "BOOL",
    TensorProto.UINT8: "UINT8",
    TensorProto.UINT16: "UINT16",
    TensorProto.UINT32: "UINT32",
    TensorProto.UINT64: "UINT64",
    TensorProto.INT8: "INT8",
    TensorProto.INT16: "INT16",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.FLOAT16: "FP16",
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64",
    TensorProto.STRING: "BYTES",
}


@dataclass(frozen=True, slots=True)
class Inspected:
    """A file that can be served."""

    spec: OnnxSpec
    parameters: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """`dims`: a size, the name of a free axis, or "" for a free axis without a name."""

    name: str
    datatype: str
    dims: Dims

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(dim if isinstance(dim, int) else -1 for dim in self.dims)

    def entry(self) -> TensorShape:
        return TensorShape(name=self.name, datatype=self.datatype, shape=self.shape)


def inspect_model(
    data: bytes, *, name: str, state: Sequence[StateRequest] = (), batch: bool = True
) -> Inspected:
    """What the file takes, gives and carries.

    Args:
        data: the file.
        name: of the network.
        state: the tensors that a session carries.
        batch: False: never stack inputs of several sessions.

    Raises:
        InvalidInput: the file can't be served, with the reason; or the state does not fit it.
    """
    model = _parsed(data)
    check_operators(model)
    parameters = check_tensors(model)
    known = {tensor.name for tensor in model.graph.initializer}
    inputs = [_tensor(v, "input") for v in model.graph.input if v.name not in known]
    outputs = [_tensor(value, "output") for value in model.graph.output]
    _check_state_names(state, inputs, outputs)
    carried = {one.input for one in state}
    produced = {one.output: one.input for one in state}
    visible_in = [tensor for tensor in inputs if tensor.name not in carried]
    visible_out = [tensor for tensor in outputs if tensor.name not in produced]
    if not visible_in or not visible_out:
        what = "input" if not visible_in else "output"
        raise InvalidInput(
            f"state: it takes every {what} of the model, one must be left", field="state"
        )
    axes, why = batching_of(
        {tensor.name: tensor.dims for tensor in visible_in},
        {tensor.name: tensor.dims for tensor in visible_out},
        {one.input: next(t.dims for t in inputs if t.name == one.input) for one in state},
        {one.input: one.output for one in state},
        wanted=batch,
    )
    tensors = {tensor.name: tensor for tensor in (*inputs, *outputs)}
    spec = OnnxSpec(
        name=name,
        inputs=tuple(tensor.entry() for tensor in visible_in),
        outputs=tuple(tensor.entry() for tensor in visible_out),
        state=tuple(
            _state(index, one, tensors[one.input], tensors[one.output], axes)
            for index, one in enumerate(state)
        ),
        batch_axes=axes,
        batching=why,
    )
    check_sizes(model)
    return Inspected(spec, parameters)


def _parsed(data: bytes) -> ModelProto:
    try:
        model = ModelProto.FromString(data)
    except DecodeError:
        model = ModelProto()
    # Nearly any bytes may parse as some protobuf message: a model has a graph and opsets.
    if not model.HasField("graph") or not model.opset_import or not model.graph.output:
        raise InvalidInput(
            f"file: {len(data)} bytes that are not an ONNX model", code="not_onnx", field="file"
        )
    check_opsets(model)
    return model


# ---------------------------------------------------------------- inputs, outputs, state


def _tensor(value: ValueInfoProto, kind: str) -> _Tensor:
    which = value.type.WhichOneof("value")
    name = value.name[:80]
    if which != "tensor_type":
        said = (which or "no type").removesuffix("_type")
        raise InvalidInput(
            f"file: the {kind} {name!r} is a {said}: only tensors can travel",
            code="not_a_tensor",
            field="file",
        )
    tensor = value.type.tensor_type
    datatype = DATATYPES.get(tensor.elem_type)  # type: ignore[call-overload]  # an enum's number
    if datatype is None:
        told = TensorProto.DataType.Name(tensor.elem_type)
        raise InvalidInput(
            f"file: the {kind} {name!r} has elements of type {told}; known are "
            f"{', '.join(DATATYPES.values())}",
            code="datatype",
            field="file",
        )
    if not tensor.HasField("shape"):
        raise InvalidInput(
            f"file: the {kind} {name!r} has no shape, not even a number of axes", field="file"
        )
    dims: Dims = tuple(
        dim.dim_value if dim.WhichOneof("value") == "dim_value" else dim.dim_param
        for dim in tensor.shape.dim
    )
    return _Tensor(value.name, datatype, dims)


def _check_state_names(
    state: Sequence[StateRequest], inputs: Sequence[_Tensor], outputs: Sequence[_Tensor]
) -> None:
    if len(state) > MAX_STATE_TENSORS:
        raise InvalidInput(
            f"state: {len(state)} tensors, the limit is {MAX_STATE_TENSORS}", field="state"
        )
    for side, tensors in (("input", inputs), ("output", outputs)):
        known = [tensor.name for tensor in tensors]
        seen: set[str] = set()
        for index, one in enumerate(state):
            wanted = one.input if side == "input" else one.output
            field = f"state.{index}.{side}"
            if wanted not in known:
                raise InvalidInput(
                    f"{field}: the model has no {side} {wanted!r}; it has {', '.join(known)[:400]}",
                    field=field,
                )
            if wanted in seen:
                raise InvalidInput(f"{field}: {wanted!r} is named twice", field=field)
            seen.add(wanted)


def _state(
    index: int, asked: StateRequest, into: _Tensor, out: _Tensor, axes: dict[str, int]
) -> StateTensor:
    field = f"state.{index}"
    if into.datatype != out.datatype:
        raise InvalidInput(
            f"{field}: the input {into.name!r} is {into.datatype}, the output {out.name!r} is "
            f"{out.datatype}",
            field=field,
        )
    if into.datatype not in DTYPES:
        raise InvalidInput(
            f"{field}: {into.name!r} is {into.datatype}: a state has elements of a fixed size",
            field=field,
        )
    sizes = _one_session(field, asked, into, axes.get(into.name))
    for tensor in (into, out):
        fits = len(tensor.dims) == len(sizes) and all(
            not isinstance(dim, int) or dim == size
            for dim, size in zip(tensor.dims, sizes, strict=True)
        )
        if not fits:
            raise InvalidInput(
                f"{field}: a state of shape {list(sizes)} does not fit {tensor.name!r}, which has "
                f"shape {list(tensor.shape)}",
                field=field,
            )
    item_bytes = DTYPES[into.datatype].itemsize
    if min(sizes, default=1) < 1 or prod(sizes) * item_bytes > MAX_STATE_BYTES:
        raise InvalidInput(
            f"{field}: a state of shape {list(sizes)} takes {prod(sizes) * item_bytes} bytes in "
            f"each session; the limit is {MAX_STATE_BYTES}, and no axis may be empty",
            field=field,
        )
    return StateTensor(input=into.name, output=out.name, datatype=into.datatype, shape=sizes)


def _one_session(
    field: str, asked: StateRequest, tensor: _Tensor, batch_axis: int | None
) -> tuple[int, ...]:
    if asked.shape is not None:
        return asked.shape
    free = [axis for axis, dim in enumerate(tensor.dims) if not isinstance(dim, int)]
    unknown = [axis for axis in free if axis != batch_axis]
    # A single free axis of a state is its batch axis, whether inputs are stacked along it or not.
    if batch_axis is None and len(free) == 1:
        unknown = []
    if unknown:
        raise InvalidInput(
            f"{field}.shape: {tensor.name!r} has shape {list(tensor.shape)}: tell the size of axis "
            f'{", ".join(map(str, unknown))} by `shape`, such as "shape": [2, 1, 128]',
            field=f"{field}.shape",
        )
    return tuple(dim if isinstance(dim, int) else 1 for dim in tensor.dims)
