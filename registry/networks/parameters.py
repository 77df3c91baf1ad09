"""The parameters of a network: their names and shapes, and what they start as."""

from __future__ import annotations

from math import sqrt

import numpy as np

from registry.networks.arrays import Float32Array
from registry.networks.layers import GruLayer, LayerNormLayer, Shape
from registry.networks.spec import NetworkSpec


def parameter_shapes(spec: NetworkSpec) -> dict[str, Shape]:
    """The shape of every parameter by its full name `layers.{i}.{name}`, in layer order."""
    return {
        f"layers.{index}.{name}": shape
        for index, (layer, width) in enumerate(spec.layers_with_widths())
        for name, shape in layer.parameter_shapes(width).items()
    }


def initial_parameters(spec: NetworkSpec) -> dict[str, Float32Array]:
    """What an untrained network starts with: the same arrays for the same spec and seed.

    The distributions are PyTorch's defaults: uniform within `1 / sqrt(inputs)` for dense,
    within `1 / sqrt(units)` for gru; ones and zeros for layer_norm.
    """
    random = np.random.default_rng(spec.seed)
    parameters: dict[str, Float32Array] = {}
    for index, (layer, width) in enumerate(spec.layers_with_widths()):
        for name, shape in layer.parameter_shapes(width).items():
            if isinstance(layer, LayerNormLayer):
                array = np.full(shape, 1 if name == "weight" else 0, np.float32)
            else:
                bound = 1 / sqrt(layer.units if isinstance(layer, GruLayer) else width)
                array = random.random(shape, dtype=np.float32)
                array *= np.float32(2 * bound)
                array -= np.float32(bound)
            parameters[f"layers.{index}.{name}"] = array
    return parameters
