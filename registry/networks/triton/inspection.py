"""What a model is, from its metadata and its configuration as Triton tells them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from pydantic import ValidationError

from foundation.errors import InvalidInput
from protos.dc.triton.v1.inference_pb2 import (
    CONTROL_KIND_CORRID,
    DATA_TYPE_INT64,
    DATA_TYPE_STRING,
    DATA_TYPE_UINT64,
    DataType,
    ModelConfig,
    ModelMetadataResponse,
    TensorMetadata,
)
from registry.networks.datatypes import DTYPES
from registry.networks.triton.spec import TritonSpec, TritonTensor

MAX_TENSORS: Final = 256
DATATYPES: Final = frozenset({*DTYPES, "BYTES"})


def spec_of(
    metadata: ModelMetadataResponse, config: ModelConfig, *, name: str, url: str, version: str
) -> TritonSpec:
    """The spec of one version of a model.

    Args:
        metadata: of the model.
        config: its configuration.
        name: the network's name, for messages.
        url: where Triton is.
        version: of the model; empty: the newest that is served.

    Raises:
        InvalidInput: the model is of a kind that can't be served.
    """
    if not metadata.inputs or not metadata.outputs:
        raise InvalidInput(
            f"model: {metadata.name!r} has {len(metadata.inputs)} inputs and "
            f"{len(metadata.outputs)} outputs, at least one of each is needed",
            code="no_tensors",
            field="model",
        )
    for tensor in metadata.inputs:
        if config.max_batch_size > 0 and not tensor.shape:
            raise InvalidInput(
                f"model: its input {tensor.name!r} has no batch axis, and max_batch_size is "
                f"{config.max_batch_size}",
                field="model",
            )
    optional = {entry.name for entry in config.input if entry.optional}
    stateful = config.HasField("sequence_batching")
    try:
        return TritonSpec(
            name=name,
            url=url,
            model=metadata.name,
            version=version or _newest(metadata.versions, metadata.name),
            inputs=_tensors(metadata.inputs, "input", optional),
            outputs=_tensors(metadata.outputs, "output", frozenset()),
            max_batch_size=max(0, config.max_batch_size),
            stateful=stateful,
            sequence_ids=_sequence_ids(config) if stateful else "number",
            decoupled=config.model_transaction_policy.decoupled,
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidInput(
            f"model: what the server tells of it can't be taken: {first['loc'][-1]}: "
            f"{first['msg']}",
            field="model",
        ) from error


def _newest(versions: Iterable[str], model: str) -> str:
    numbers = [int(version) for version in versions if version.isdecimal()]
    if not numbers:
        raise InvalidInput(
            f"version: the server tells no version of {model!r}; name one", field="version"
        )
    return str(max(numbers))


def _tensors(
    told: Sequence[TensorMetadata], kind: str, optional: Iterable[str]
) -> tuple[TritonTensor, ...]:
    if len(told) > MAX_TENSORS:
        raise InvalidInput(
            f"model: it has {len(told)} {kind}s, the limit is {MAX_TENSORS}", field="model"
        )
    for tensor in told:
        if tensor.datatype not in DATATYPES:
            raise InvalidInput(
                f"model: its {kind} {tensor.name!r} has the datatype {tensor.datatype}; "
                f"{', '.join(sorted(DATATYPES))} can be carried",
                code="unsupported_datatype",
                field="model",
            )
    return tuple(
        TritonTensor(
            name=tensor.name,
            datatype=tensor.datatype,
            shape=tuple(max(-1, size) for size in tensor.shape),
            optional=tensor.name in optional,
        )
        for tensor in told
    )


def _sequence_ids(config: ModelConfig) -> Literal["number", "string"]:
    """How the model wants to be told whose sequence a request belongs to."""
    for entry in config.sequence_batching.control_input:
        for control in entry.control:
            if control.kind != CONTROL_KIND_CORRID:
                continue
            if control.data_type == DATA_TYPE_STRING:
                return "string"
            if control.data_type not in (DATA_TYPE_UINT64, DATA_TYPE_INT64):
                kind = DataType.Name(control.data_type).removeprefix("DATA_TYPE_")
                raise InvalidInput(
                    f"model: its correlation ids ({entry.name}) are {kind}: so few that two "
                    "sessions could get the same one; INT64, UINT64 or STRING are needed",
                    code="narrow_sequence_ids",
                    field="model",
                )
    return "number"
