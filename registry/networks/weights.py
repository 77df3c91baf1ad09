"""Weights as they travel and are stored: safetensors that fit one spec."""

from __future__ import annotations

from collections.abc import Mapping

from registry.networks.arrays import Float32Array, read_arrays, require_names, write_arrays
from registry.networks.parameters import parameter_shapes
from registry.networks.spec import NetworkSpec


def encode_weights(parameters: Mapping[str, Float32Array]) -> bytes:
    """The parameters as safetensors; equal parameters give equal bytes."""
    return write_arrays(parameters)


def decode_weights(data: bytes, spec: NetworkSpec) -> dict[str, Float32Array]:
    """The parameters of `spec`, in layer order, writable and owned by the caller.

    Metadata is ignored, so files that PyTorch wrote load as they are.

    Raises:
        InvalidInput: not safetensors, a name too many or too few, a wrong shape or dtype.
    """
    stored, _ = read_arrays(data, what="weights")
    shapes = parameter_shapes(spec)
    require_names(stored, shapes, "weights")
    return {name: stored[name].float32(name, shape) for name, shape in shapes.items()}
