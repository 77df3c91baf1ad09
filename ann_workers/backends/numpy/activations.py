"""Activations: functions of the last axis, with their gradients.

`forward` may overwrite its argument. All take float32 or float64 and keep it.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]


class ActivationFunction(Protocol):
    """One activation `y = f(x)`."""

    def forward(self, x: FloatArray) -> FloatArray:
        """Compute `y`; the memory of `x` may be reused for it."""
        ...

    def backward(self, gradient: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
        """The gradient by `x`, given the one by `y`."""
        ...


class Linear:
    """`x`."""

    def forward(self, x: FloatArray) -> FloatArray:
        """Compute `y`."""
        return x

    def backward(self, gradient: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
        """The gradient by `x`."""
        del x, y
        return gradient


class Relu:
    """`max(x, 0)`; NaN stays NaN."""

    def forward(self, x: FloatArray) -> FloatArray:
        """Compute `y`."""
        return np.maximum(x, 0, out=x)

    def backward(self, gradient: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
        """The gradient by `x`."""
        del x
        return gradient * (y > 0)


class Tanh:
    """`tanh(x)`."""

    def forward(self, x: FloatArray) -> FloatArray:
        """Compute `y`."""
        return np.tanh(x, out=x)

    def backward(self, gradient: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
        """The gradient by `x`."""
        del x
        return gradient * (1 - y * y)


class Sigmoid:
    """`1 / (1 + exp(-x))`."""

    def forward(self, x: FloatArray) -> FloatArray:
        """Compute `y`."""
        # exp overflows to infinity for very negative x, and 1 / infinity is the right answer.
        np.negative(x, out=x)
        np.exp(x, out=x)
        x += 1
        return np.reciprocal(x, out=x)

    def backward(self, gradient: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
        """The gradient by `x`."""
        del x
        return gradient * (y * (1 - y))


class Gelu:
    """`x * Φ(x)` with the normal distribution's Φ: the exact form, not the one with tanh."""

    def forward(self, x: FloatArray) -> FloatArray:
        """Compute `y`."""
        return x * _normal_cdf(x)

    def backward(self, gradient: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
        """The gradient by `x`."""
        del y
        density = np.exp(-0.5 * x * x) / sqrt(2 * pi)
        return gradient * (_normal_cdf(x) + x * density)


class Softmax:
    """`exp(x) / sum(exp(x))` over the last axis."""

    def forward(self, x: FloatArray) -> FloatArray:
        """Compute `y`; `x` is left as it is, since the loss reads the logits."""
        y: FloatArray = x - x.max(axis=-1, keepdims=True)
        np.exp(y, out=y)
        y /= y.sum(axis=-1, keepdims=True)
        return y

    def backward(self, gradient: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
        """The gradient by `x`."""
        del x
        product: FloatArray = gradient * y
        product -= y * product.sum(axis=-1, keepdims=True)
        return product


ACTIVATIONS: dict[str, ActivationFunction] = {
    "linear": Linear(),
    "relu": Relu(),
    "tanh": Tanh(),
    "sigmoid": Sigmoid(),
    "gelu": Gelu(),
    "softmax": Softmax(),
}

# numpy has no erf. This is the rational approximation of Eigen (`generic_fast_erf_float`), exact to
# a few float32 ulps; beyond ±4, erf is ±1 in float32. Highest power first, in powers of x².
_ERF_CLAMP = 4.0
_ERF_NUMERATOR = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_ERF_DENOMINATOR = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)


def erf(x: FloatArray) -> FloatArray:
    """The error function, to float32's precision."""
    x = np.clip(x, -_ERF_CLAMP, _ERF_CLAMP)
    square = x * x
    numerator = np.full_like(x, _ERF_NUMERATOR[0])
    for coefficient in _ERF_NUMERATOR[1:]:
        numerator *= square
        numerator += coefficient
    denominator = np.full_like(x, _ERF_DENOMINATOR[0])
    for coefficient in _ERF_DENOMINATOR[1:]:
        denominator *= square
        denominator += coefficient
    return x * numerator / denominator


def _normal_cdf(x: FloatArray) -> FloatArray:
    return 0.5 * (1 + erf(x * sqrt(0.5)))
