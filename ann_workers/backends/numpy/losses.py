"""Losses: one number for an output and its target, and its gradient.

Rows are the elements of all axes but the last. A cross entropy works on logits: on what a final
softmax got as its input, or on the output itself where the network doesn't end in a softmax.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ann_workers.backends.numpy.activations import FloatArray

Target = npt.NDArray[Any]
"""Floats [rows, features], or class indexes int64[rows]."""


class LossFunction(Protocol):
    """One loss."""

    def value(self, x: FloatArray, target: Target) -> float:
        """The loss of `x`, float[rows, features]."""
        ...

    def gradient(self, x: FloatArray, target: Target) -> FloatArray:
        """The gradient of the loss by `x`."""
        ...


class MeanSquaredError:
    """The mean over all elements of `(x - target)²`."""

    def value(self, x: FloatArray, target: Target) -> float:
        """The loss of `x`."""
        return float(np.square(x - target).mean())

    def gradient(self, x: FloatArray, target: Target) -> FloatArray:
        """The gradient of the loss by `x`."""
        difference: FloatArray = x - target
        difference *= 2 / difference.size
        return difference


class SoftmaxCrossEntropy:
    """The mean over rows of `-sum(target * log(softmax(x)))`; a class index means one-hot."""

    def value(self, x: FloatArray, target: Target) -> float:
        """The loss of the logits `x`."""
        log_probabilities = _log_softmax(x)
        if target.ndim == 1:
            chosen = log_probabilities[np.arange(len(target)), target]
        else:
            chosen = (log_probabilities * target).sum(axis=-1)
        return -float(chosen.mean())

    def gradient(self, x: FloatArray, target: Target) -> FloatArray:
        """The gradient of the loss by the logits `x`."""
        gradient = np.exp(_log_softmax(x))
        if target.ndim == 1:
            gradient[np.arange(len(target)), target] -= 1
        else:
            # A target whose row doesn't add up to 1 pulls with its own weight.
            gradient *= target.sum(axis=-1, keepdims=True)
            gradient -= target
        gradient /= len(x)
        return gradient


LOSSES: dict[str, LossFunction] = {
    "mse": MeanSquaredError(),
    "softmax_cross_entropy": SoftmaxCrossEntropy(),
}


def _log_softmax(x: FloatArray) -> FloatArray:
    shifted: FloatArray = x - x.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted
