"""Optimizers against steps computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ann_workers.backends.numpy.optimizers import new_optimizer
from registry.networks.learning import Adam, Sgd


def test_sgd_moves_against_the_gradient_when_it_has_no_momentum() -> None:
    parameters = np.array([1.0, -2.0], np.float32)
    optimizer = new_optimizer(Sgd(learning_rate=0.5), parameters)
    optimizer.step(parameters, np.array([2.0, -4.0], np.float32))
    np.testing.assert_allclose(parameters, [0.0, 0.0])
    assert optimizer.memory == {}
    assert optimizer.step_count == 1


def test_sgd_gathers_speed_when_it_has_momentum() -> None:
    parameters = np.array([1.0], np.float64)
    optimizer = new_optimizer(Sgd(learning_rate=0.1, momentum=0.9), parameters)
    optimizer.step(parameters, np.array([1.0]))  # v = 1
    np.testing.assert_allclose(parameters, [0.9])
    optimizer.step(parameters, np.array([2.0]))  # v = 0.9 + 2 = 2.9
    np.testing.assert_allclose(parameters, [0.61])
    optimizer.step(parameters, np.array([0.0]))  # v = 2.61
    np.testing.assert_allclose(parameters, [0.349])


def test_adam_takes_the_steps_of_the_paper() -> None:
    parameters = np.array([1.0], np.float64)
    spec = Adam(learning_rate=0.01, beta1=0.8, beta2=0.9, epsilon=0.5)
    optimizer = new_optimizer(spec, parameters)
    # m = 0.2 * 3 = 0.6, m̂ = 0.6 / 0.2 = 3; v = 0.1 * 9 = 0.9, v̂ = 9: 0.01 * 3 / (3 + 0.5)
    optimizer.step(parameters, np.array([3.0]))
    first = 1 - 0.01 * 3 / 3.5
    np.testing.assert_allclose(parameters, [first], rtol=1e-12)
    # m = 0.8 * 0.6 - 0.2 = 0.28, m̂ = 0.28 / 0.36; v = 0.9 * 0.9 + 0.1 = 0.91, v̂ = 0.91 / 0.19
    optimizer.step(parameters, np.array([-1.0]))
    second = first - 0.01 * (0.28 / 0.36) / (math.sqrt(0.91 / 0.19) + 0.5)
    np.testing.assert_allclose(parameters, [second], rtol=1e-12)
    assert optimizer.step_count == 2


@pytest.mark.parametrize("spec", [Sgd(), Sgd(momentum=0.9), Adam()])
def test_optimizer_keeps_dtype_and_gradients_when_it_steps(spec: Sgd | Adam) -> None:
    parameters = np.ones(5, np.float32)
    gradients = np.full(5, 0.25, np.float32)
    optimizer = new_optimizer(spec, parameters)
    for _ in range(3):
        optimizer.step(parameters, gradients)
    assert parameters.dtype == np.float32
    assert (gradients == 0.25).all()
    assert (parameters < 1).all()
    assert all(memory.dtype == np.float32 for memory in optimizer.memory.values())
