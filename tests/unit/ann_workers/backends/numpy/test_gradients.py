"""Every gradient against central finite differences, in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ann_workers.backends.numpy.activations import ACTIVATIONS, erf
from ann_workers.backends.numpy.losses import LOSSES
from ann_workers.backends.numpy.network import Network
from registry.networks.parameters import parameter_shapes
from registry.networks.spec import NetworkSpec, parse_spec

H = 1e-5
FEATURES = 5
ROWS = 3


def network(layers: list[dict[str, Any]], loss: str) -> tuple[NetworkSpec, dict[str, Any]]:
    spec = parse_spec({"name": "n", "input": {"shape": [FEATURES]}, "layers": layers, "loss": loss})
    random = np.random.default_rng(3)
    return spec, {n: random.normal(size=shape) for n, shape in parameter_shapes(spec).items()}


def numeric(function: Any, array: np.ndarray) -> np.ndarray:
    gradient = np.zeros_like(array)
    for place in np.ndindex(array.shape):
        kept = array[place]
        array[place] = kept + H
        above = function()
        array[place] = kept - H
        gradient[place] = (above - function()) / (2 * H)
        array[place] = kept
    return gradient


def dense(activation: str = "linear", **more: Any) -> dict[str, Any]:
    return {"type": "dense", "units": 4, "activation": activation, **more}


STACKS: dict[str, list[dict[str, Any]]] = {
    **{f"dense {name}": [dense(name)] for name in ACTIVATIONS},
    **{f"dense {name} dense": [dense(name), dense()] for name in ACTIVATIONS},
    "dense without bias": [dense("tanh", bias=False), dense(bias=False)],
    "layer_norm": [{"type": "layer_norm"}],
    "dense layer_norm dense": [dense("tanh"), {"type": "layer_norm", "epsilon": 0.1}, dense()],
    "gru": [{"type": "gru", "units": 4}],
    "dense gru gru dense": [
        dense("tanh"),
        {"type": "gru", "units": 3},
        {"type": "gru", "units": 2},
        dense("softmax"),
    ],
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("layers", STACKS.values(), ids=STACKS.keys())
def test_gradients_equal_finite_differences(layers: list[dict[str, Any]], loss: str) -> None:
    spec, parameters = network(layers, loss)
    random = np.random.default_rng(4)
    x = random.normal(size=(ROWS, FEATURES))
    net = Network(spec, parameters)
    hidden = [random.normal(size=(ROWS, units)) for units in net.hidden_units]
    targets = [random.dirichlet(np.ones(spec.output_shape[0]), ROWS)]
    if loss == "softmax_cross_entropy":
        targets += [random.integers(spec.output_shape[0], size=ROWS), targets[0] * 3]
    for target in targets:

        def value(target: np.ndarray = target) -> float:
            return net.loss(net.forward(x.copy(), hidden)[1], target)

        output, found, following, gradients = net.learn(x.copy(), hidden, target)
        assert found == pytest.approx(value(), rel=1e-12)
        again, _, also_following = net.forward(x.copy(), hidden)
        np.testing.assert_allclose(output, again, rtol=1e-12)
        for one, other in zip(following, also_following, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)
        assert sorted(gradients) == sorted(parameters)
        for name, array in parameters.items():
            np.testing.assert_allclose(
                gradients[name], numeric(value, array), rtol=2e-5, atol=2e-7, err_msg=name
            )


@pytest.mark.parametrize("loss", LOSSES)
def test_loss_gradient_equals_finite_differences(loss: str) -> None:
    random = np.random.default_rng(5)
    x, target = random.normal(size=(ROWS, 4)), random.dirichlet(np.ones(4), ROWS)
    function = LOSSES[loss]
    expected = numeric(lambda: function.value(x, target), x)
    np.testing.assert_allclose(function.gradient(x, target), expected, rtol=1e-6, atol=1e-9)


def test_cross_entropy_is_the_same_when_the_network_ends_in_softmax_or_not() -> None:
    fused, parameters = network([dense("softmax")], "softmax_cross_entropy")
    open_ended, _ = network([dense("linear")], "softmax_cross_entropy")
    x, target = np.random.default_rng(6).normal(size=(ROWS, FEATURES)), np.array([0, 3, 1])
    probabilities, one, _, gradients = Network(fused, parameters).learn(x, [], target)
    logits, other, _, also = Network(open_ended, parameters).learn(x, [], target)
    assert one == other
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(1)[:, None], probabilities)
    for name in gradients:
        np.testing.assert_array_equal(gradients[name], also[name])


def test_cross_entropy_is_finite_when_the_logits_are_huge() -> None:
    logits = np.array([[2000.0, -2000.0, 0.0]], np.float32)
    assert LOSSES["softmax_cross_entropy"].value(logits, np.array([1])) == pytest.approx(4000)
    gradient = LOSSES["softmax_cross_entropy"].gradient(logits, np.array([1]))
    np.testing.assert_allclose(gradient, [[1, -1, 0]], atol=1e-6)


def test_erf_equals_the_exact_one_to_float32_precision() -> None:
    x = np.linspace(-6, 6, 4001)
    exact = np.array([math.erf(one) for one in x])
    np.testing.assert_allclose(erf(x), exact, atol=1e-7, rtol=0)
    np.testing.assert_allclose(erf(x.astype(np.float32)), exact, atol=5e-7, rtol=0)


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("linear", lambda x: x),
        ("relu", lambda x: max(x, 0.0)),
        ("tanh", math.tanh),
        ("sigmoid", lambda x: 1 / (1 + math.exp(-x)) if x > -700 else 0.0),
        ("gelu", lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2)))),
    ],
)
def test_activation_equals_its_definition(name: str, exact: Any) -> None:
    x = np.array([-1000, -20, -3, -0.5, -1e-4, 0, 1e-4, 0.5, 3, 20, 1000])
    with np.errstate(over="ignore"):
        y = ACTIVATIONS[name].forward(x.astype(np.float32))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, [exact(one) for one in x], rtol=2e-6, atol=1e-6)
