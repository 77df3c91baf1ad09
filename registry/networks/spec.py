"""The layer spec: what a network is, as its creator wrote it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from registry.networks.layers import GruLayer, Layer, Shape, SpecModel, counted, failure
from registry.networks.learning import Loss, Optimizer

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"
MAX_LAYERS = 64
MAX_RANK = 4
MAX_SIZE = 65_536
DEFAULT_PARAMETER_LIMIT = 50_000_000

MAX_ACTIVATIONS = 1 << 22
"""Elements of the widest activation of one input: 16 MiB of float32, so that no input can ask
for more memory than a frame of that size would take."""

Size = Annotated[int, Field(ge=1, le=MAX_SIZE)]


class InputSpec(SpecModel):
    """The one input tensor; the last axis of `shape` holds the features."""

    datatype: Literal["FP32"] = "FP32"
    shape: Annotated[
        tuple[Size, ...],
        Field(strict=False, json_schema_extra={"minItems": 1, "maxItems": MAX_RANK}),
        counted("axes", 1, MAX_RANK),
    ]


class NetworkSpec(SpecModel):
    """A network of layers one after another.

    Validating takes `context={"parameter_limit": n}`; `parse_spec` is the shorter way.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    input: InputSpec
    layers: Annotated[
        tuple[Layer, ...],
        Field(strict=False, json_schema_extra={"minItems": 1, "maxItems": MAX_LAYERS}),
        counted("layers", 1, MAX_LAYERS),
    ]
    loss: Loss | None = None
    optimizer: Optimizer | None = None
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0

    @model_validator(mode="after")
    def _fits_together(self, info: ValidationInfo) -> NetworkSpec:
        limit = (info.context or {}).get("parameter_limit", DEFAULT_PARAMETER_LIMIT)
        positions = prod(self.input.shape[:-1])
        total = self.parameter_count
        so_far = 0
        for index, (layer, width) in enumerate(self.layers_with_widths()):
            field = "units" if hasattr(layer, "units") else "type"
            loc = ("layers", index, field)
            if isinstance(layer, GruLayer) and len(self.input.shape) != 1:
                raise failure((*loc[:2], "type"), _gru_rank(self.input.shape), layer.type)
            if (elements := positions * layer.output_width(width)) > MAX_ACTIVATIONS:
                raise failure(loc, _too_wide(elements), getattr(layer, field))
            so_far += sum(map(prod, layer.parameter_shapes(width).values()))
            if limit is not None and so_far > limit:
                raise failure(loc, _too_many_parameters(total, limit), getattr(layer, field))
        return self

    def layers_with_widths(self) -> Iterator[tuple[Layer, int]]:
        """Each layer with the size of the last axis of its input, in order."""
        width = self.input.shape[-1]
        for layer in self.layers:
            yield layer, width
            width = layer.output_width(width)

    @property
    def parameter_count(self) -> int:
        """The number of trainable numbers."""
        return sum(
            prod(shape)
            for layer, width in self.layers_with_widths()
            for shape in layer.parameter_shapes(width).values()
        )

    @property
    def output_shape(self) -> Shape:
        """The shape of the output for an input of exactly `input.shape`."""
        width = self.input.shape[-1]
        for layer in self.layers:
            width = layer.output_width(width)
        return (*self.input.shape[:-1], width)

    @property
    def stateful(self) -> bool:
        """True when a session carries state from one input to the next."""
        return any(isinstance(layer, GruLayer) for layer in self.layers)

    @property
    def trainable(self) -> bool:
        """True when sessions can train it: it has a loss and an optimizer."""
        return self.loss is not None and self.optimizer is not None


def parse_spec(
    data: Mapping[str, Any], *, parameter_limit: int | None = DEFAULT_PARAMETER_LIMIT
) -> NetworkSpec:
    """Read a spec as JSON gave it.

    Args:
        data: the decoded JSON object.
        parameter_limit: the most parameters allowed; None: any number, for specs that were
            admitted before.

    Raises:
        pydantic.ValidationError: with the path of each field at fault, such as
            ``("layers", 0, "units")``.
    """
    return NetworkSpec.model_validate(data, context={"parameter_limit": parameter_limit})


def _gru_rank(shape: Shape) -> PydanticCustomError:
    return PydanticCustomError(
        "gru_rank",
        "a gru takes one step an input: input.shape has rank 1, got {shape}",
        {"shape": str(list(shape))},
    )


def _too_wide(elements: int) -> PydanticCustomError:
    return PydanticCustomError(
        "too_wide",
        "the output of this layer has {elements} elements an input, the limit is {limit}",
        {"elements": elements, "limit": MAX_ACTIVATIONS},
    )


def _too_many_parameters(total: int, limit: int) -> PydanticCustomError:
    return PydanticCustomError(
        "parameter_limit",
        "the network has {total} parameters, the limit is {limit}",
        {"total": total, "limit": limit},
    )
