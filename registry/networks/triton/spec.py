"""The spec of a Triton network: which model of which server, and what it takes and gives."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from foundation.errors import InvalidInput
from registry.networks.layers import SpecModel

URL_PATTERN = r"^grpcs?://([A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}$"
"""Triton's gRPC endpoint; `grpcs` is TLS."""
MODEL_PATTERN = r"^[A-Za-z0-9_.:-]{1,255}$"
VERSION_PATTERN = r"^[0-9]{0,18}$"
"""Triton's versions are numbers."""

PORTS = range(1, 65536)


def _check_port(url: str) -> str:
    # gRPC takes a larger one modulo 65536.
    port = int(url.rpartition(":")[2])
    if port not in PORTS:
        raise PydanticCustomError(
            "port_range", "Port should be from 1 to 65535, got {port}", {"port": port}
        )
    return url


Url = Annotated[str, Field(pattern=URL_PATTERN), AfterValidator(_check_port)]
Model = Annotated[str, Field(pattern=MODEL_PATTERN)]
ModelVersion = Annotated[str, Field(pattern=VERSION_PATTERN)]


class TritonTensor(SpecModel):
    """A tensor of the model; -1 in `shape` is an axis of any size.

    Where the model batches, the batch axis is in front. An `optional` input may be left out.
    """

    name: Annotated[str, Field(min_length=1, max_length=255)]
    datatype: str
    shape: Annotated[tuple[int, ...], Field(strict=False)]
    optional: bool = False


class TritonSpec(SpecModel):
    """What a worker needs to have a model computed by Triton; read from the server.

    `max_batch_size` is Triton's own: 0 when the shapes have no batch axis. `stateful`: its sequence
    batcher keeps a state for each session, under a number or, with `sequence_ids` "string", a text.
    `decoupled`: an input is answered by any number of outputs.
    """

    name: str
    url: Url
    model: Model
    version: Annotated[str, Field(pattern=r"^[0-9]{1,18}$")]
    inputs: Annotated[tuple[TritonTensor, ...], Field(strict=False)]
    outputs: Annotated[tuple[TritonTensor, ...], Field(strict=False)]
    max_batch_size: Annotated[int, Field(ge=0)] = 0
    stateful: bool = False
    sequence_ids: Literal["number", "string"] = "number"
    decoupled: bool = False


def parse_triton_spec(data: Any) -> TritonSpec:
    """The spec of a manifest.

    Raises:
        InvalidInput: naming the field at fault.
    """
    try:
        return TritonSpec.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"spec.{path}: {first['msg']}", field=f"spec.{path}") from error
