"""A network of a layer spec as an ONNX file, its hidden state as named tensors.

Needs the package `onnx`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any, Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, checker, helper, numpy_helper

from registry.networks.arrays import Float32Array
from registry.networks.layers import DenseLayer, GruLayer, LayerNormLayer
from registry.networks.spec import NetworkSpec

OPSET: Final = 17
"""The first with LayerNormalization; old enough for every runtime of the last years."""
IR_VERSION: Final = 8
BATCH: Final = "batch"
STATE_KEY: Final = "dc.state"
"""The key of the file's metadata that holds, as JSON, what `state` of a new network is."""


def export_network(spec: NetworkSpec, parameters: Mapping[str, Float32Array]) -> bytes:
    """The network as an ONNX file.

    `input` is float32[batch, *input.shape] and `output` likewise. The hidden state of the n-th gru
    is `hidden.n` in, `hidden.n.next` out, float32[batch, units].
    """
    writer = _Writer(parameters)
    value = "input"
    for index, (layer, width) in enumerate(spec.layers_with_widths()):
        prefix = f"layers.{index}"
        if isinstance(layer, DenseLayer):
            value = writer.activation(prefix, layer.activation, writer.dense(prefix, layer, value))
        elif isinstance(layer, GruLayer):
            value = writer.gru(prefix, layer, value)
        else:
            value = writer.layer_norm(prefix, layer, width, value)
    writer.node("Identity", [value], "output")
    graph = helper.make_graph(
        writer.nodes,
        spec.name,
        [_tensor("input", spec.input.shape), *(_tensor(n, (u,)) for n, u in writer.states)],
        [
            _tensor("output", spec.output_shape),
            *(_tensor(f"{n}.next", (u,)) for n, u in writer.states),
        ],
        writer.stored,
    )
    model: ModelProto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="direct-contact"
    )
    model.ir_version = IR_VERSION
    state = [
        {"input": name, "output": f"{name}.next", "initial": "zeros"} for name, _ in writer.states
    ]
    helper.set_model_props(model, {STATE_KEY: json.dumps(state)})
    checker.check_model(model)
    return model.SerializeToString()


def _tensor(name: str, shape: Sequence[int]) -> ValueInfoProto:
    made: ValueInfoProto = helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, *shape])
    return made


class _Writer:
    """Collects nodes, stored tensors and states. Names of values begin with their layer's."""

    def __init__(self, parameters: Mapping[str, Float32Array]) -> None:
        self.nodes: list[NodeProto] = []
        self.stored: list[TensorProto] = []
        self.states: list[tuple[str, int]] = []
        self._parameters = parameters

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node with one output; returns the output's name."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, array: Any) -> str:
        """Store an array; returns its name."""
        self.stored.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name

    def parameter(self, name: str) -> str:
        return self.constant(name, self._parameters[name])

    def transposed(self, name: str) -> str:
        """A weight [out, in] as MatMul takes it, which also works on inputs with more axes."""
        return self.constant(f"{name}.t", np.ascontiguousarray(self._parameters[name].T))

    def affine(self, x: str, weight: str, bias: str | None, output: str) -> str:
        product = self.node("MatMul", [x, self.transposed(weight)], f"{output}.product")
        if bias is None:
            return product
        return self.node("Add", [product, self.parameter(bias)], output)

    def dense(self, prefix: str, layer: DenseLayer, x: str) -> str:
        bias = f"{prefix}.bias" if layer.bias else None
        return self.affine(x, f"{prefix}.weight", bias, f"{prefix}.sum")

    def activation(self, prefix: str, kind: str, x: str) -> str:
        output = f"{prefix}.{kind}"
        if kind == "linear":
            return x
        if kind == "softmax":
            return self.node("Softmax", [x], output, axis=-1)
        if kind == "gelu":
            # By erf: the operator Gelu is younger than this opset.
            scale = self.constant(f"{output}.scale", sqrt(0.5))
            half = self.constant(f"{output}.half", 0.5)
            one = self.constant(f"{output}.one", 1.0)
            erf = self.node(
                "Erf", [self.node("Mul", [x, scale], f"{output}.scaled")], f"{output}.erf"
            )
            above = self.node("Add", [erf, one], f"{output}.above")
            cdf = self.node("Mul", [above, half], f"{output}.cdf")
            return self.node("Mul", [x, cdf], output)
        return self.node({"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}[kind], [x], output)

    def layer_norm(self, prefix: str, layer: LayerNormLayer, width: int, x: str) -> str:
        del width
        scale, bias = self.parameter(f"{prefix}.weight"), self.parameter(f"{prefix}.bias")
        return self.node(
            "LayerNormalization",
            [x, scale, bias],
            f"{prefix}.normed",
            axis=-1,
            epsilon=layer.epsilon,
        )

    def gru(self, prefix: str, layer: GruLayer, x: str) -> str:
        """One step, as the layer's docstring tells it: gates r, z, n."""
        hidden = f"hidden.{len(self.states)}"
        self.states.append((hidden, layer.units))
        from_input = self._gates(prefix, "ih", x)
        from_hidden = self._gates(prefix, "hh", hidden)
        reset, update = (
            self.node(
                "Sigmoid",
                [self.node("Add", [from_input[i], from_hidden[i]], f"{prefix}.{name}.sum")],
                f"{prefix}.{name}",
            )
            for i, name in enumerate(("reset", "update"))
        )
        kept = self.node("Mul", [reset, from_hidden[2]], f"{prefix}.kept")
        new = self.node(
            "Tanh", [self.node("Add", [from_input[2], kept], f"{prefix}.new.sum")], f"{prefix}.new"
        )
        # (1 - z) n + z h = n + z (h - n)
        change = self.node("Sub", [hidden, new], f"{prefix}.change")
        share = self.node("Mul", [update, change], f"{prefix}.share")
        following = self.node("Add", [new, share], f"{prefix}.hidden")
        self.node("Identity", [following], f"{hidden}.next")
        return following

    def _gates(self, prefix: str, side: str, x: str) -> list[str]:
        output = f"{prefix}.{side}"
        whole = self.affine(x, f"{prefix}.weight_{side}", f"{prefix}.bias_{side}", output)
        parts = [f"{output}.{gate}" for gate in "rzn"]
        self.nodes.append(
            helper.make_node("Split", [whole], parts, name=f"{output}.split", axis=-1)
        )
        return parts
