"""Networks as JSON."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator
from pydantic_core import PydanticCustomError

from registry.networks.spec import NAME_PATTERN
from registry.records import Version
from registry.records.networks import Network
from rest_api.shapes import Body, VersionReference, timestamp

BACKEND_PATTERN = r"^[a-z0-9][a-z0-9_.-]{0,62}$"
MAX_SPEC_BYTES = 64 << 10


class NetworkOut(BaseModel):
    """A network; everything but the name, the aliases and the times is its newest version's."""

    name: str
    version: int
    aliases: dict[str, int]
    backend: str
    stateful: bool
    trainable: bool
    parameters: int
    weights: str
    spec: dict[str, Any]
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, network: Network) -> NetworkOut:
        """A record as JSON."""
        newest = network.latest
        return cls(
            name=network.name,
            version=newest.version,
            aliases=network.aliases,
            backend=newest.backend,
            stateful=newest.stateful,
            trainable=newest.trainable,
            parameters=newest.parameters,
            weights=newest.weights,
            spec=newest.spec,
            created_at=timestamp(network.created_ms),
            created_by=network.created_by,
        )


class VersionOut(BaseModel):
    """An immutable version. `source`: created, upload or snapshot; `parent`: what it came from."""

    network: str
    version: int
    aliases: list[str]
    backend: str
    stateful: bool
    trainable: bool
    parameters: int
    weights: str
    source: str
    parent: int | None
    spec: dict[str, Any]
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, version: Version) -> VersionOut:
        """A record as JSON."""
        return cls(
            network=version.network,
            version=version.version,
            aliases=list(version.aliases),
            backend=version.backend,
            stateful=version.stateful,
            trainable=version.trainable,
            parameters=version.parameters,
            weights=version.weights,
            source=version.source,
            parent=version.parent,
            spec=version.spec,
            created_at=timestamp(version.created_ms),
            created_by=version.created_by,
        )


class OtherNetworkIn(Body):
    """A network for a backend of the workers that this API knows nothing of.

    `spec` is what that backend loads; `stateful` tells whether its sessions carry a state.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    backend: Annotated[str, Field(pattern=BACKEND_PATTERN)]
    spec: dict[str, Any] = Field(default_factory=dict)
    stateful: Annotated[bool, Field(strict=True)] = False

    @field_validator("backend")
    @classmethod
    def _not_ours(cls, backend: str) -> str:
        if backend == "onnx":
            raise PydanticCustomError(
                "form", "an onnx network comes as a form with its file (multipart/form-data)"
            )
        return backend

    @field_validator("spec")
    @classmethod
    def _small(cls, spec: dict[str, Any]) -> dict[str, Any]:
        size = len(json.dumps(spec))
        if size > MAX_SPEC_BYTES:
            raise PydanticCustomError(
                "too_large",
                "the spec has {size} bytes as JSON, the limit is {limit}",
                {"size": size, "limit": MAX_SPEC_BYTES},
            )
        return spec


class AliasIn(Body):
    """Where an alias should point."""

    version: VersionReference


class AliasOut(BaseModel):
    """An alias and the version that it means now."""

    alias: str
    version: int
