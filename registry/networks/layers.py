"""What one layer is: its fields, their bounds, the shapes of its parameters.

Names and layouts of parameters are PyTorch's, so that weights load there unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WrapValidator
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError
from pydantic_core.core_schema import ValidatorFunctionWrapHandler

MAX_UNITS = 16_384

Activation: TypeAlias = Literal["linear", "relu", "tanh", "sigmoid", "gelu", "softmax"]
Units: TypeAlias = Annotated[int, Field(ge=1, le=MAX_UNITS)]
Shape: TypeAlias = tuple[int, ...]


class SpecModel(BaseModel):
    """The parent of everything in a spec: immutable, without unknown keys or silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DenseLayer(SpecModel):
    """`activation(x @ weight.T + bias)` over the last axis."""

    type: Literal["dense"] = "dense"
    units: Units
    activation: Activation = "linear"
    bias: bool = True

    def output_width(self, width: int) -> int:  # noqa: ARG002  # every layer has this signature
        """The size of the last axis of the output, given the input's."""
        return self.units

    def parameter_shapes(self, width: int) -> dict[str, Shape]:
        """The shapes of the parameters by name, given the size of the input's last axis."""
        shapes: dict[str, Shape] = {"weight": (self.units, width)}
        if self.bias:
            shapes["bias"] = (self.units,)
        return shapes


class GruLayer(SpecModel):
    """One step of a gated recurrent unit an input; the hidden state belongs to the session.

    With gates in the order r, z, n: `n = tanh(W_in x + b_in + r * (W_hn h + b_hn))` and
    `h' = (1 - z) * n + z * h`, as PyTorch's `nn.GRU`.
    """

    type: Literal["gru"] = "gru"
    units: Units

    def output_width(self, width: int) -> int:  # noqa: ARG002  # every layer has this signature
        """The size of the last axis of the output, given the input's."""
        return self.units

    def parameter_shapes(self, width: int) -> dict[str, Shape]:
        """The shapes of the parameters by name, given the size of the input's last axis."""
        gates = 3 * self.units
        return {
            "weight_ih": (gates, width),
            "weight_hh": (gates, self.units),
            "bias_ih": (gates,),
            "bias_hh": (gates,),
        }


class LayerNormLayer(SpecModel):
    """Zero mean and unit variance over the last axis, then times `weight`, plus `bias`."""

    type: Literal["layer_norm"] = "layer_norm"
    epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-5

    def output_width(self, width: int) -> int:
        """The size of the last axis of the output, given the input's."""
        return width

    def parameter_shapes(self, width: int) -> dict[str, Shape]:
        """The shapes of the parameters by name, given the size of the input's last axis."""
        return {"weight": (width,), "bias": (width,)}


def by_type(what: str, *models: type[SpecModel]) -> WrapValidator:
    """Choose among the models by the key `type`.

    Pydantic's own choice puts the tag into the path of every error (`layers.0.dense.units`); this
    one keeps the path of the field as the caller wrote it (`layers.0.units`).
    """
    known = {model.model_fields["type"].default: model for model in models}

    def choose(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        if isinstance(value, models) or not isinstance(value, Mapping):
            return handler(value)
        kind = value.get("type")
        if isinstance(kind, str) and kind in known:
            return known[kind].model_validate(value)
        problem = PydanticCustomError(
            "unknown_type",
            "unknown {what} type {kind}; known are {known}",
            {"what": what, "kind": repr(kind)[:80], "known": ", ".join(known)},
        )
        raise failure(("type",), problem, kind)

    return WrapValidator(choose)


def counted(what: str, least: int, most: int) -> BeforeValidator:
    """Limit the number of items of a list, before the items are looked at.

    Pydantic's own limits count only the valid items, and so add a wrong complaint to each fault.
    """

    def count(value: Any) -> Any:
        if isinstance(value, list | tuple) and not least <= len(value) <= most:
            raise PydanticCustomError(
                "wrong_count",
                "expected {least} to {most} {what}, got {count}",
                {"what": what, "least": least, "most": most, "count": len(value)},
            )
        return value

    return BeforeValidator(count)


def failure(loc: tuple[int | str, ...], problem: PydanticCustomError, value: Any) -> Exception:
    """The error of one field, for a validator to raise: pydantic prefixes its own path."""
    return ValidationError.from_exception_data(
        "spec", [InitErrorDetails(type=problem, loc=loc, input=value)]
    )


Layer: TypeAlias = Annotated[
    DenseLayer | GruLayer | LayerNormLayer,
    Field(discriminator="type"),
    by_type("layer", DenseLayer, GruLayer, LayerNormLayer),
]
