"""What an ONNX file from anybody must not hold: foreign operators, absent data, absurd sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from typing import Final

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto
from onnx.helper import tensor_dtype_to_np_dtype

from foundation.errors import InvalidInput

MAX_TENSOR_BYTES: Final = 512 << 20
"""The largest tensor that a graph may hold or make, as far as its shapes tell."""
MAX_NODES: Final = 200_000

STANDARD_DOMAINS: Final = ("", "ai.onnx", "ai.onnx.ml")
OTHER_DOMAINS: Final = ("com.microsoft",)
"""Domains whose operators onnxruntime brings along, unknown to the package `onnx`."""


WHOLE_BYTES: Final = frozenset(
    {
        TensorProto.BOOL, TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32,
        TensorProto.UINT64, TensorProto.INT8, TensorProto.INT16, TensorProto.INT32,
        TensorProto.INT64, TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE,
    }
)  # fmt: skip
"""Types whose elements are stored in bytes of their own."""


def check_opsets(model: ModelProto) -> None:
    """Refuse a model for a newer ONNX than this one.

    Raises:
        InvalidInput: `opset_too_new`.
    """
    newest = onnx.defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in STANDARD_DOMAINS[:2] and opset.version > newest:
            raise InvalidInput(
                f"file: opset {opset.version} is too new, the newest known here is {newest}; "
                "export the model for an older one",
                code="opset_too_new",
                field="file",
            )


# ---------------------------------------------------------------- operators


def check_operators(model: ModelProto) -> None:
    """Refuse operators that neither ONNX nor onnxruntime defines.

    Raises:
        InvalidInput: `custom_operator`, naming the first one.
    """
    functions = {(function.domain, function.name) for function in model.functions}
    versions = {opset.domain: opset.version for opset in model.opset_import}
    count = 0
    for node in _nodes(model):
        count += 1
        if count > MAX_NODES:
            raise InvalidInput(f"file: more than {MAX_NODES} nodes", field="file")
        if (node.domain, node.op_type) in functions or node.domain in OTHER_DOMAINS:
            continue
        if node.domain not in STANDARD_DOMAINS or not _is_known(node, versions):
            raise InvalidInput(
                f"file: node {node.name[:80]!r} is the operator {node.op_type[:80]!r} of domain "
                f"{(node.domain or 'ai.onnx')[:80]!r}, which is not a standard one: custom "
                "operators can't be served",
                code="custom_operator",
                field="file",
            )


def _is_known(node: NodeProto, versions: dict[str, int]) -> bool:
    domain = "" if node.domain == "ai.onnx" else node.domain
    version = versions.get(node.domain, versions.get(domain, 0))
    try:
        onnx.defs.get_schema(node.op_type, max(version, 1), domain)
    except onnx.defs.SchemaError:
        return False
    return True


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and those inside its nodes."""
    waiting = [graph]
    while waiting:
        current = waiting.pop()
        yield current
        for node in current.node:
            waiting += _inner(node)


def _inner(node: NodeProto) -> list[GraphProto]:
    found: list[GraphProto] = []
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            found.append(attribute.g)
        found += attribute.graphs
    return found


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    for graph in _graphs(model.graph):
        yield from graph.node
    for function in model.functions:
        for node in function.node:
            yield node
            for inner in _inner(node):
                for graph in _graphs(inner):
                    yield from graph.node


# ---------------------------------------------------------------- stored tensors


def check_tensors(model: ModelProto) -> int:
    """Check what the file stores; returns the number of its elements.

    Raises:
        InvalidInput: `external_data`, `tensor_too_large` or `bad_tensor`, naming the first one.
    """
    total = 0
    for tensor in _stored(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise InvalidInput(
                f"file: the tensor {tensor.name[:80]!r} lies in another file: save the model with "
                "its data inside (onnx.save_model(…, save_as_external_data=False))",
                code="external_data",
                field="file",
            )
        count = prod(tensor.dims)
        bytes_ = count * _item_bytes(tensor.data_type)
        if min(tensor.dims, default=0) < 0 or bytes_ > MAX_TENSOR_BYTES:
            raise _too_large(tensor.name, list(tensor.dims), bytes_)
        if tensor.HasField("raw_data") and tensor.data_type in WHOLE_BYTES:
            expected, came = bytes_, len(tensor.raw_data)
            if expected != came:
                raise InvalidInput(
                    f"file: the tensor {tensor.name[:80]!r} of shape {list(tensor.dims)} needs "
                    f"{expected} bytes, the file has {came}",
                    code="bad_tensor",
                    field="file",
                )
        total += count
    return total


def _stored(model: ModelProto) -> Iterator[TensorProto]:
    for graph in _graphs(model.graph):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield sparse.values
            yield sparse.indices
    for node in _nodes(model):
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors
            if attribute.type == AttributeProto.SPARSE_TENSOR:
                yield attribute.sparse_tensor.values
                yield attribute.sparse_tensor.indices


def _item_bytes(data_type: int) -> int:
    try:
        return max(1, tensor_dtype_to_np_dtype(data_type).itemsize)
    except (KeyError, TypeError, ValueError):
        return 1


def _too_large(name: str, dims: Iterable[int], size: int) -> InvalidInput:
    return InvalidInput(
        f"file: the tensor {name[:80]!r} of shape {list(dims)!s:.200} takes {size} bytes, the "
        f"limit is {MAX_TENSOR_BYTES}",
        code="tensor_too_large",
        field="file",
    )


def check_sizes(model: ModelProto) -> None:
    """Refuse a graph that would make an absurd tensor, as far as its shapes tell.

    Raises:
        InvalidInput: `tensor_too_large`, or `bad_shapes` when they contradict each other.
    """
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise InvalidInput(
            f"file: the shapes in the model contradict each other: {str(error)[:300]}",
            code="bad_shapes",
            field="file",
        ) from error
    for graph in _graphs(inferred.graph):
        for value in (*graph.value_info, *graph.input, *graph.output):
            kind = value.type.tensor_type
            dims = [max(dim.dim_value, 1) for dim in kind.shape.dim]
            size = prod(dims) * _item_bytes(kind.elem_type)
            if size > MAX_TENSOR_BYTES:
                raise _too_large(value.name, dims, size)
