"""The layer spec: what it admits, and how it says what is wrong."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from pydantic import ValidationError

from registry.networks.spec import NetworkSpec, parse_spec

DIGITS: dict[str, Any] = {
    "name": "digits",
    "input": {"datatype": "FP32", "shape": [64]},
    "layers": [
        {"type": "dense", "units": 64, "activation": "relu"},
        {"type": "dense", "units": 10, "activation": "softmax"},
    ],
    "loss": "softmax_cross_entropy",
    "optimizer": {"type": "adam", "learning_rate": 0.001},
    "seed": 7,
}


def with_value(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    data = copy.deepcopy(DIGITS)
    place: Any = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return data


def errors_of(data: Any, **options: Any) -> list[tuple[tuple[Any, ...], str]]:
    with pytest.raises(ValidationError) as caught:
        parse_spec(data, **options)
    return [(error["loc"], error["msg"]) for error in caught.value.errors()]


def test_spec_keeps_every_field_when_valid() -> None:
    spec = parse_spec(DIGITS)
    assert spec.name == "digits"
    assert spec.output_shape == (10,)
    assert spec.parameter_count == 64 * 64 + 64 + 640 + 10
    assert spec.trainable
    assert not spec.stateful
    assert spec.layers[0].bias  # type: ignore[union-attr]


def test_spec_round_trips_when_written_as_json() -> None:
    spec = parse_spec(with_value(("layers", 1), {"type": "layer_norm"}))
    assert parse_spec(json.loads(spec.model_dump_json())) == spec
    assert parse_spec(spec.model_dump()) == spec
    assert NetworkSpec.model_validate_json(spec.model_dump_json()) == spec


def test_spec_is_stateful_when_a_gru_is_in_it() -> None:
    spec = parse_spec(
        {"name": "g", "input": {"shape": [3]}, "layers": [{"type": "gru", "units": 5}]}
    )
    assert spec.stateful
    assert not spec.trainable
    assert spec.output_shape == (5,)


def test_spec_describes_its_layers_when_asked_for_a_json_schema() -> None:
    schema = NetworkSpec.model_json_schema()
    assert schema["properties"]["layers"]["items"]["discriminator"]["propertyName"] == "type"
    assert {"DenseLayer", "GruLayer", "LayerNormLayer", "Sgd", "Adam"} <= set(schema["$defs"])


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("name",), "Digits", "pattern"),
        (("name",), "-digits", "pattern"),
        (("name",), "d" * 64, "pattern"),
        (("name",), "digits\n", "pattern"),
        (("name",), "", "pattern"),
        (("name",), 5, "string"),
        (("input", "datatype"), "FP64", "FP32"),
        (("input", "shape"), [], "expected 1 to 4 axes, got 0"),
        (("input", "shape"), [1] * 5, "expected 1 to 4 axes, got 5"),
        (("input", "shape", 0), 0, "greater than or equal to 1"),
        (("input", "shape", 0), -1, "greater than or equal to 1"),
        (("input", "shape", 0), 65_537, "less than or equal to 65536"),
        (("input", "shape", 0), "64", "integer"),
        (("layers",), [], "expected 1 to 64 layers, got 0"),
        (("layers",), [DIGITS["layers"][0]] * 65, "expected 1 to 64 layers, got 65"),
        (("layers",), "dense", "tuple"),
        (("layers", 0), "dense", "dictionary"),
        (("layers", 0, "units"), 0, "greater than or equal to 1"),
        (("layers", 0, "units"), -3, "greater than or equal to 1"),
        (("layers", 0, "units"), 16_385, "less than or equal to 16384"),
        (("layers", 1, "units"), 10**30, "less than or equal to 16384"),
        (("layers", 0, "units"), 6.5, "integer"),
        (("layers", 0, "units"), True, "integer"),
        (("layers", 0, "units"), None, "integer"),
        (("layers", 0, "activation"), "swish", "'linear', 'relu'"),
        (("layers", 0, "bias"), 1, "boolean"),
        (("layers", 0, "colour"), "red", "Extra inputs"),
        (("layers", 0, "type"), "lstm", "unknown layer type 'lstm'; known are dense, gru, layer"),
        (("layers", 0, "type"), ["gru"], "unknown layer type"),
        (("layers", 0, "type"), None, "unknown layer type None"),
        (("loss",), "hinge", "'mse' or 'softmax_cross_entropy'"),
        (("optimizer", "type"), "lion", "unknown optimizer type 'lion'; known are sgd, adam"),
        (("optimizer", "learning_rate"), 0, "greater than 0"),
        (("optimizer", "learning_rate"), -0.1, "greater than 0"),
        (("optimizer", "learning_rate"), float("nan"), "finite"),
        (("optimizer", "learning_rate"), float("inf"), "finite"),
        (("optimizer", "beta1"), 1, "less than 1"),
        (("optimizer", "beta2"), -0.5, "greater than or equal to 0"),
        (("optimizer", "epsilon"), 0, "greater than 0"),
        (("optimizer", "momentum"), 0.9, "Extra inputs"),
        (("seed",), -1, "greater than or equal to 0"),
        (("seed",), 1 << 63, "less than 9223372036854775808"),
        (("colour",), "red", "Extra inputs"),
    ],
)
def test_spec_names_the_field_when_it_is_wrong(
    path: tuple[Any, ...], value: Any, told: str
) -> None:
    errors = errors_of(with_value(path, value))
    assert [loc for loc, _ in errors] == [path]
    assert told in errors[0][1]


@pytest.mark.parametrize("key", ["name", "input", "layers"])
def test_spec_names_the_field_when_it_is_missing(key: str) -> None:
    data = {k: v for k, v in DIGITS.items() if k != key}
    assert [loc for loc, _ in errors_of(data)] == [(key,)]


def test_spec_names_units_when_they_are_missing() -> None:
    assert errors_of(with_value(("layers", 1), {"type": "gru"})) == [
        (("layers", 1, "units"), "Field required")
    ]


def test_spec_names_every_fault_when_there_are_several() -> None:
    data = with_value(("layers", 0, "units"), 0)
    data["layers"][1]["type"] = "lstm"
    data["seed"] = -1
    assert [loc for loc, _ in errors_of(data)] == [
        ("layers", 0, "units"),
        ("layers", 1, "type"),
        ("seed",),
    ]


@pytest.mark.parametrize("epsilon", [0, -1e-5, 2, float("nan")])
def test_layer_norm_epsilon_is_refused_when_out_of_range(epsilon: float) -> None:
    errors = errors_of(with_value(("layers", 1), {"type": "layer_norm", "epsilon": epsilon}))
    assert [loc for loc, _ in errors] == [("layers", 1, "epsilon")]


@pytest.mark.parametrize("momentum", [-0.1, 1, float("nan")])
def test_sgd_momentum_is_refused_when_out_of_range(momentum: float) -> None:
    errors = errors_of(with_value(("optimizer",), {"type": "sgd", "momentum": momentum}))
    assert [loc for loc, _ in errors] == [("optimizer", "momentum")]


def test_parameter_limit_names_limit_and_value_when_exceeded() -> None:
    data = with_value(("layers", 0, "units"), 16_384)
    data["layers"].insert(1, {"type": "dense", "units": 16_384})
    total = 64 * 16_384 + 16_384 + 16_384**2 + 16_384 + 163_840 + 10
    message = f"the network has {total} parameters, the limit is 50000000"
    assert errors_of(data) == [(("layers", 1, "units"), message)]


def test_parameter_limit_is_the_caller_s_when_given() -> None:
    count = parse_spec(DIGITS).parameter_count
    assert parse_spec(DIGITS, parameter_limit=count).parameter_count == count
    (loc, message), *rest = errors_of(DIGITS, parameter_limit=count - 1)
    assert not rest
    assert loc == ("layers", 1, "units")
    assert message == f"the network has {count} parameters, the limit is {count - 1}"
    assert parse_spec(DIGITS, parameter_limit=None).parameter_count == count


def test_gru_is_refused_when_the_input_has_more_axes() -> None:
    data = {"name": "g", "input": {"shape": [4, 8]}, "layers": [{"type": "gru", "units": 5}]}
    assert errors_of(data) == [
        (
            ("layers", 0, "type"),
            "a gru takes one step an input: input.shape has rank 1, got [4, 8]",
        )
    ]


def test_layer_is_refused_when_its_output_is_too_wide() -> None:
    data = {
        "name": "w",
        "input": {"shape": [1024, 4]},
        "layers": [{"type": "dense", "units": 8192}],
    }
    (loc, message), *_ = errors_of(data)
    assert loc == ("layers", 0, "units")
    assert "8388608 elements an input, the limit is 4194304" in message


@pytest.mark.parametrize("data", [None, [], "spec", 5])
def test_spec_is_refused_when_it_is_no_object(data: Any) -> None:
    assert [loc for loc, _ in errors_of(data)] == [()]
