"""Optimizers: one step of all parameters at once.

The parameters of a network lie in one flat vector, so that a step is a handful of numpy calls
however many layers there are.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ann_workers.backends.numpy.activations import FloatArray
from registry.networks.learning import Adam as AdamSpec
from registry.networks.learning import Optimizer as OptimizerSpec
from registry.networks.learning import Sgd as SgdSpec


class Optimizer(Protocol):
    """An optimizer with its memory of earlier steps."""

    step_count: int
    memory: dict[str, FloatArray]
    """What it remembers, by name; each of the parameters' length and changed in place."""

    def step(self, parameters: FloatArray, gradients: FloatArray) -> None:
        """Change the parameters in place. The gradients are left as they are."""
        ...


class Sgd:
    """Stochastic gradient descent with momentum, as PyTorch's."""

    def __init__(self, spec: SgdSpec, parameters: FloatArray) -> None:
        self._spec = spec
        self.step_count = 0
        self.memory: dict[str, FloatArray] = (
            {"velocity": np.zeros_like(parameters)} if spec.momentum else {}
        )

    def step(self, parameters: FloatArray, gradients: FloatArray) -> None:
        """Change the parameters in place."""
        self.step_count += 1
        if self._spec.momentum:
            velocity = self.memory["velocity"]
            velocity *= self._spec.momentum
            velocity += gradients
            gradients = velocity
        parameters -= self._spec.learning_rate * gradients


class Adam:
    """Adam with bias correction, as PyTorch's."""

    def __init__(self, spec: AdamSpec, parameters: FloatArray) -> None:
        self._spec = spec
        self.step_count = 0
        self.memory: dict[str, FloatArray] = {
            "first_moment": np.zeros_like(parameters),
            "second_moment": np.zeros_like(parameters),
        }

    def step(self, parameters: FloatArray, gradients: FloatArray) -> None:
        """Change the parameters in place."""
        self.step_count += 1
        spec = self._spec
        first, second = self.memory["first_moment"], self.memory["second_moment"]
        first *= spec.beta1
        first += (1 - spec.beta1) * gradients
        second *= spec.beta2
        second += (1 - spec.beta2) * np.square(gradients)
        divisor = np.sqrt(second / (1 - spec.beta2**self.step_count))
        divisor += spec.epsilon
        update = np.divide(first, divisor, out=divisor)
        update *= spec.learning_rate / (1 - spec.beta1**self.step_count)
        parameters -= update


def new_optimizer(spec: OptimizerSpec, parameters: FloatArray) -> Optimizer:
    """A fresh optimizer for parameters of that length and dtype."""
    return Sgd(spec, parameters) if isinstance(spec, SgdSpec) else Adam(spec, parameters)
