"""Loading networks that a Triton server computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from ann_workers.backends.port import Backend
from ann_workers.backends.triton.model import TritonModel
from ann_workers.backends.triton.settings import TritonSettings
from foundation.settings import Settings
from registry.networks.triton.spec import parse_triton_spec


class TritonBackend:
    """Loads networks whose spec is a `TritonSpec`; they have no weights."""

    name = "triton"

    def __init__(self, settings: TritonSettings | None = None) -> None:
        self._settings = settings or TritonSettings()

    @classmethod
    def configured(cls, settings: Settings) -> Self:
        """The backend of a worker with these settings."""
        return cls(settings.get(TritonSettings))  # type: ignore[arg-type]  # a group by its class

    def load(self, spec: Mapping[str, Any], weights: bytes) -> TritonModel:  # noqa: ARG002  # none
        """Load one network version; the server is not asked before the first input.

        Raises:
            InvalidInput: the spec is not valid.
        """
        return TritonModel(parse_triton_spec(spec), requests=self._settings.worker_triton_requests)


if TYPE_CHECKING:
    _fits_the_port: Backend = TritonBackend()
