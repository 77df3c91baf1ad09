"""Small ONNX files, good and bad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

Dims = Sequence[int | str | None]
OPSET = 17


def tensor(name: str, dims: Dims, kind: int = TensorProto.FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(dims))


def model(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    *,
    stored: dict[str, np.ndarray] | None = None,
    opset: int = OPSET,
    domains: Sequence[str] = (),
) -> ModelProto:
    graph: GraphProto = helper.make_graph(
        list(nodes),
        "graph",
        list(inputs),
        list(outputs),
        [numpy_helper.from_array(array, name) for name, array in (stored or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    made: ModelProto = helper.make_model(graph, opset_imports=imports)
    made.ir_version = 8
    return made


def file(*args: Any, **options: Any) -> bytes:
    """As `model`, serialized."""
    return model(*args, **options).SerializeToString()


WEIGHT = np.arange(6, dtype=np.float32).reshape(3, 2) / 10


def linear(rows: int | str | None = "batch") -> bytes:
    """`y = x @ WEIGHT`: x is [rows, 3], y is [rows, 2]."""
    return file(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [tensor("x", [rows, 3])],
        [tensor("y", [rows, 2])],
        stored={"w": WEIGHT},
    )


def words(rows: int | str | None = "batch") -> bytes:
    """`same = text`, and `class` 1 for "cat", 2 for "Hündchen", 0 for all others: all [rows]."""
    nodes = [
        helper.make_node("Identity", ["text"], ["same"]),
        helper.make_node(
            "LabelEncoder",
            ["text"],
            ["class"],
            domain="ai.onnx.ml",
            keys_strings=["cat", "Hündchen"],
            values_int64s=[1, 2],
            default_int64=0,
        ),
    ]
    made = model(
        nodes,
        [tensor("text", [rows], TensorProto.STRING)],
        [tensor("same", [rows], TensorProto.STRING), tensor("class", [rows], TensorProto.INT64)],
    )
    made.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))
    return made.SerializeToString()


def running_sum(rows: int | str | None = "batch", *, axis: int = 0) -> bytes:
    """`y = x + s` and `s' = y`, with the batch on `axis` of the state s, of 3 elements."""
    state: list[Any] = [rows, 3] if axis == 0 else [3, rows]
    nodes = [helper.make_node("Add", ["x", "s"], ["y"]), helper.make_node("Identity", ["y"], ["t"])]
    if axis:
        nodes = [
            helper.make_node("Transpose", ["s"], ["turned"], perm=[1, 0]),
            helper.make_node("Add", ["x", "turned"], ["y"]),
            helper.make_node("Transpose", ["y"], ["t"], perm=[1, 0]),
        ]
    return file(
        nodes,
        [tensor("x", [rows, 3]), tensor("s", state)],
        [tensor("y", [rows, 3]), tensor("t", state)],
    )


SUM_STATE = [{"input": "s", "output": "t"}]


def scaled() -> bytes:
    """`y = x * k`: k has no batch axis."""
    return file(
        [helper.make_node("Mul", ["x", "k"], ["y"])],
        [tensor("x", ["batch", 3]), tensor("k", [])],
        [tensor("y", ["batch", 3])],
    )


def centred() -> bytes:
    """`y = x - mean over the rows`: its rows see each other."""
    return file(
        [
            helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
            helper.make_node("Sub", ["x", "m"], ["y"]),
        ],
        [tensor("x", ["batch", 3])],
        [tensor("y", ["batch", 3])],
    )


def growing() -> bytes:
    """`y` has as many zeros as x says, summed: an input may ask for any memory."""
    return file(
        [
            helper.make_node("ConstantOfShape", ["x"], ["zeros"]),
            helper.make_node("ReduceSum", ["zeros"], ["y"], keepdims=0),
        ],
        [tensor("x", [1], TensorProto.INT64)],
        [tensor("y", [])],
    )


def custom_operator(*, inside: bool = False) -> bytes:
    """An operator of a domain that nobody knows; `inside`: of a branch of an If."""
    node = helper.make_node("Frobnicate", ["x"], ["y"], domain="example.org", name="frob")
    if inside:
        branch = helper.make_graph([node], "branch", [], [tensor("y", [3])])
        node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
        inputs = [tensor("x", [3]), tensor("c", [], TensorProto.BOOL)]
        return file([node], inputs, [tensor("y", [3])], domains=["example.org"])
    return file([node], [tensor("x", [3])], [tensor("y", [3])], domains=["example.org"])


def external_data() -> bytes:
    """Weights that lie in another file."""
    made = model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [tensor("x", ["batch", 3])],
        [tensor("y", ["batch", 2])],
        stored={"w": WEIGHT},
    )
    stored = made.graph.initializer[0]
    stored.ClearField("raw_data")
    stored.data_location = TensorProto.EXTERNAL
    stored.external_data.add(key="location", value="/etc/passwd")
    return made.SerializeToString()


def huge_initializer() -> bytes:
    """A stored tensor that says it has 2**40 elements."""
    made = model(
        [helper.make_node("Identity", ["w"], ["y"])],
        [tensor("x", [1])],
        [tensor("y", [1 << 20, 1 << 20])],
        stored={"w": WEIGHT},
    )
    del made.graph.initializer[0].dims[:]
    made.graph.initializer[0].dims.extend([1 << 20, 1 << 20])
    return made.SerializeToString()


def huge_constant() -> bytes:
    """A few bytes that make a tensor of 4 TiB."""
    return file(
        [
            helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
            helper.make_node("ReduceSum", ["zeros"], ["s"], keepdims=0),
            helper.make_node("Add", ["x", "s"], ["y"]),
        ],
        [tensor("x", [3])],
        [tensor("y", [3])],
        stored={"shape": np.array([1 << 20, 1 << 20])},
    )
