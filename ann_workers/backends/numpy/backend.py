"""The backend `numpy`: networks from a layer spec, computed and trained in float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ann_workers.backends.numpy.model import NumpyModel
from ann_workers.backends.port import Backend
from foundation.errors import InvalidInput
from registry.networks.parameters import initial_parameters
from registry.networks.spec import parse_spec
from registry.networks.weights import decode_weights


class NumpyBackend:
    """Loads networks whose manifest carries a layer spec."""

    name = "numpy"

    def load(self, spec: Mapping[str, Any], weights: bytes) -> NumpyModel:
        """Load one network version.

        Args:
            spec: a layer spec that was admitted when the network was created; its parameters are
                not counted again.
            weights: safetensors; empty: what the spec's seed gives.

        Raises:
            InvalidInput: spec or weights are not valid.
        """
        try:
            parsed = parse_spec(spec, parameter_limit=None)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            path = ".".join(map(str, first["loc"]))
            raise InvalidInput(f"{path}: {first['msg']}", field=path) from error
        if not weights:
            return NumpyModel(parsed, initial_parameters(parsed))
        return NumpyModel(parsed, decode_weights(weights, parsed))


if TYPE_CHECKING:
    _fits_the_port: Backend = NumpyBackend()
