"""The weights of layer specs.

numpy is loaded with the first of them, in whatever thread that is, and not with the process: it
takes a tenth of its start.
"""

from __future__ import annotations

from registry.networks.spec import NetworkSpec


def initial_weights(spec: NetworkSpec) -> bytes:
    """What an untrained network starts with, as safetensors."""
    from registry.networks.parameters import initial_parameters
    from registry.networks.weights import encode_weights

    return encode_weights(initial_parameters(spec))


def check_weights(data: bytes, spec: NetworkSpec) -> None:
    """See that they fit the spec.

    Raises:
        InvalidInput: not safetensors, a name too many or too few, a wrong shape or dtype.
    """
    from registry.networks.weights import decode_weights

    decode_weights(data, spec)
