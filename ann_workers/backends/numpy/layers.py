"""The steps of a network: dense, gru, layer norm, activation.

A step computes on `x` of shape [rows, features]. `trace` computes as `forward` does and also
returns what `backward` needs. Parameters are arrays that the step only reads: whoever owns them may
change them in place between calls. Everything keeps the dtype of its parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np

from ann_workers.backends.numpy.activations import (
    ACTIVATIONS,
    ActivationFunction,
    FloatArray,
    Softmax,
)
from registry.networks.layers import DenseLayer, GruLayer, Layer
from registry.networks.spec import NetworkSpec

Gradients = dict[str, FloatArray]


class Step(Protocol):
    """One step. `hidden` is float[rows, units] for a step that is stateful, else None."""

    stateful: ClassVar[bool]
    prefix: str

    def forward(self, x: FloatArray, hidden: FloatArray | None) -> FloatArray:
        """Compute the output; of a stateful step it is also the next hidden state."""
        ...

    def trace(self, x: FloatArray, hidden: FloatArray | None) -> tuple[FloatArray, Any]:
        """Compute the output, and keep what `backward` needs."""
        ...

    def backward(self, gradient: FloatArray, kept: Any) -> tuple[FloatArray, Gradients]:
        """The gradients by `x` and by the parameters, given the one by the output."""
        ...


class Dense:
    """`x @ weight.T + bias`."""

    stateful: ClassVar[bool] = False

    def __init__(self, prefix: str, parameters: Mapping[str, FloatArray]) -> None:
        self.prefix = prefix
        self._weight = parameters["weight"]
        self._bias = parameters.get("bias")

    def forward(self, x: FloatArray, hidden: FloatArray | None) -> FloatArray:
        """Compute the output, in memory of its own."""
        del hidden
        y: FloatArray = x @ self._weight.T
        if self._bias is not None:
            y += self._bias
        return y

    def trace(self, x: FloatArray, hidden: FloatArray | None) -> tuple[FloatArray, Any]:
        """Compute the output, and keep the input."""
        return self.forward(x, hidden), x

    def backward(self, gradient: FloatArray, kept: Any) -> tuple[FloatArray, Gradients]:
        """The gradients by `x` and by the parameters."""
        gradients = {"weight": gradient.T @ kept}
        if self._bias is not None:
            gradients["bias"] = gradient.sum(axis=0)
        return gradient @ self._weight, gradients


class Activation:
    """An activation after the step that made its input, whose memory it may reuse."""

    stateful: ClassVar[bool] = False
    prefix = ""

    def __init__(self, function: ActivationFunction) -> None:
        self.function = function

    def forward(self, x: FloatArray, hidden: FloatArray | None) -> FloatArray:
        """Compute the output."""
        del hidden
        return self.function.forward(x)

    def trace(self, x: FloatArray, hidden: FloatArray | None) -> tuple[FloatArray, Any]:
        """Compute the output, and keep it beside the input."""
        del hidden
        y = self.function.forward(x.copy())
        return y, (x, y)

    def backward(self, gradient: FloatArray, kept: Any) -> tuple[FloatArray, Gradients]:
        """The gradient by `x`; there are no parameters."""
        return self.function.backward(gradient, *kept), {}


class LayerNorm:
    """`(x - mean) / sqrt(variance + epsilon) * weight + bias` over the last axis."""

    stateful: ClassVar[bool] = False

    def __init__(
        self, prefix: str, parameters: Mapping[str, FloatArray], *, epsilon: float
    ) -> None:
        self.prefix = prefix
        self._weight = parameters["weight"]
        self._bias = parameters["bias"]
        self._epsilon = epsilon

    def forward(self, x: FloatArray, hidden: FloatArray | None) -> FloatArray:
        """Compute the output, in memory of its own."""
        return self.trace(x, hidden)[0]

    def trace(self, x: FloatArray, hidden: FloatArray | None) -> tuple[FloatArray, Any]:
        """Compute the output, and keep the normalized input and the scale."""
        del hidden
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        scale = 1 / np.sqrt(variance + self._epsilon)
        centred *= scale
        return centred * self._weight + self._bias, (centred, scale)

    def backward(self, gradient: FloatArray, kept: Any) -> tuple[FloatArray, Gradients]:
        """The gradients by `x` and by the parameters."""
        normal, scale = kept
        gradients = {"weight": (gradient * normal).sum(axis=0), "bias": gradient.sum(axis=0)}
        inner = gradient * self._weight
        inner -= inner.mean(axis=-1, keepdims=True) + normal * (inner * normal).mean(
            axis=-1, keepdims=True
        )
        return inner * scale, gradients


class Gru:
    """One time step of a gated recurrent unit, as PyTorch's `nn.GRU`; gates in order r, z, n."""

    stateful: ClassVar[bool] = True

    def __init__(self, prefix: str, parameters: Mapping[str, FloatArray]) -> None:
        self.prefix = prefix
        self._weight_ih = parameters["weight_ih"]
        self._weight_hh = parameters["weight_hh"]
        self._bias_ih = parameters["bias_ih"]
        self._bias_hh = parameters["bias_hh"]
        self._units = self._weight_hh.shape[1]

    def forward(self, x: FloatArray, hidden: FloatArray | None) -> FloatArray:
        """Compute the next hidden state, in memory of its own."""
        return self.trace(x, hidden)[0]

    def trace(self, x: FloatArray, hidden: FloatArray | None) -> tuple[FloatArray, Any]:
        """Compute the next hidden state, and keep the gates."""
        if hidden is None:
            raise TypeError("a gru computes on a hidden state")
        units = self._units
        of_input = x @ self._weight_ih.T + self._bias_ih
        of_hidden = hidden @ self._weight_hh.T + self._bias_hh
        gates = ACTIVATIONS["sigmoid"].forward(of_input[:, : 2 * units] + of_hidden[:, : 2 * units])
        r, z = gates[:, :units], gates[:, units:]
        hidden_new = of_hidden[:, 2 * units :]
        n = np.tanh(of_input[:, 2 * units :] + r * hidden_new)
        return (1 - z) * n + z * hidden, (x, hidden, r, z, n, hidden_new)

    def backward(self, gradient: FloatArray, kept: Any) -> tuple[FloatArray, Gradients]:
        """The gradients by `x` and by the parameters; the old hidden state counts as a constant."""
        x, hidden, r, z, n, hidden_new = kept
        by_n = gradient * (1 - z) * (1 - n * n)
        by_z = gradient * (hidden - n) * z * (1 - z)
        by_r = by_n * hidden_new * r * (1 - r)
        of_input = np.concatenate((by_r, by_z, by_n), axis=1)
        of_hidden = np.concatenate((by_r, by_z, by_n * r), axis=1)
        gradients = {
            "weight_ih": of_input.T @ x,
            "weight_hh": of_hidden.T @ hidden,
            "bias_ih": of_input.sum(axis=0),
            "bias_hh": of_hidden.sum(axis=0),
        }
        return of_input @ self._weight_ih, gradients


def build_steps(spec: NetworkSpec, parameters: Mapping[str, FloatArray]) -> list[Step]:
    """The steps of a network on its parameters by full name; a linear activation needs no step."""
    steps: list[Step] = []
    for index, layer in enumerate(spec.layers):
        prefix = f"layers.{index}."
        own = {
            name.removeprefix(prefix): array
            for name, array in parameters.items()
            if name.startswith(prefix)
        }
        steps += _steps_of(layer, prefix, own)
    return steps


def ends_in_softmax(steps: list[Step]) -> bool:
    """True when the last step is a softmax."""
    last = steps[-1]
    return isinstance(last, Activation) and isinstance(last.function, Softmax)


def _steps_of(layer: Layer, prefix: str, parameters: Mapping[str, FloatArray]) -> list[Step]:
    if isinstance(layer, GruLayer):
        return [Gru(prefix, parameters)]
    if isinstance(layer, DenseLayer):
        dense = Dense(prefix, parameters)
        if layer.activation == "linear":
            return [dense]
        return [dense, Activation(ACTIVATIONS[layer.activation])]
    return [LayerNorm(prefix, parameters, epsilon=layer.epsilon)]
