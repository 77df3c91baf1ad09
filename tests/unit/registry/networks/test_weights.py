"""Parameters, and weights as safetensors."""

from __future__ import annotations

import json
import struct
from math import sqrt

import numpy as np
import pytest
from safetensors.numpy import load, save

from foundation.errors import InvalidInput
from registry.networks.parameters import initial_parameters, parameter_shapes
from registry.networks.spec import NetworkSpec, parse_spec
from registry.networks.weights import decode_weights, encode_weights


def spec(seed: int = 7) -> NetworkSpec:
    return parse_spec(
        {
            "name": "all",
            "input": {"shape": [6]},
            "layers": [
                {"type": "dense", "units": 4, "activation": "tanh"},
                {"type": "gru", "units": 3},
                {"type": "layer_norm"},
                {"type": "dense", "units": 2, "bias": False},
            ],
            "seed": seed,
        }
    )


def test_parameters_have_pytorch_s_names_and_layouts() -> None:
    assert parameter_shapes(spec()) == {
        "layers.0.weight": (4, 6),
        "layers.0.bias": (4,),
        "layers.1.weight_ih": (9, 4),
        "layers.1.weight_hh": (9, 3),
        "layers.1.bias_ih": (9,),
        "layers.1.bias_hh": (9,),
        "layers.2.weight": (3,),
        "layers.2.bias": (3,),
        "layers.3.weight": (2, 3),
    }
    assert spec().parameter_count == 24 + 4 + 36 + 27 + 18 + 6 + 6


def test_initial_parameters_are_equal_when_the_seed_is() -> None:
    first, again, other = (initial_parameters(spec(seed)) for seed in (7, 7, 8))
    assert encode_weights(first) == encode_weights(again)
    assert encode_weights(first) != encode_weights(other)


def test_initial_parameters_lie_within_pytorch_s_bounds() -> None:
    parameters = initial_parameters(spec())
    assert all(array.dtype == np.float32 for array in parameters.values())
    for name, bound in (("layers.0.weight", 1 / sqrt(6)), ("layers.1.weight_ih", 1 / sqrt(3))):
        spread = np.abs(parameters[name]).max()
        assert bound / 2 < spread <= bound
    assert (parameters["layers.2.weight"] == 1).all()
    assert (parameters["layers.2.bias"] == 0).all()


def test_weights_round_trip_when_they_fit() -> None:
    parameters = initial_parameters(spec())
    decoded = decode_weights(encode_weights(parameters), spec())
    assert list(decoded) == list(parameters)
    for name, array in parameters.items():
        np.testing.assert_array_equal(decoded[name], array)
        assert decoded[name].dtype == np.float32
        assert decoded[name].flags.writeable


def test_weights_load_elsewhere_when_written_here() -> None:
    parameters = initial_parameters(spec())
    for name, array in load(encode_weights(parameters)).items():
        np.testing.assert_array_equal(parameters[name], array)


def test_weights_load_when_another_tool_added_metadata() -> None:
    data = save(dict(initial_parameters(spec())), metadata={"format": "pt", "by": "someone"})
    assert set(decode_weights(data, spec())) == set(parameter_shapes(spec()))


def changed(without: str = "", **replaced: np.ndarray) -> bytes:
    parameters = {name: array.copy() for name, array in initial_parameters(spec()).items()}
    parameters.update({name.replace("__", "."): array for name, array in replaced.items()})
    parameters.pop(without, None)
    return save(parameters)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (changed(without="layers.0.bias"), "missing layers.0.bias"),
        (changed(extra=np.ones(1, "f4")), "unknown extra"),
        (
            changed(layers__0__weight=np.ones((6, 4), "f4")),
            "layers.0.weight: expected shape [4, 6], got [6, 4]",
        ),
        (
            changed(layers__0__bias=np.ones(4, "f8")),
            "layers.0.bias: expected dtype F32, got F64",
        ),
        (
            changed(layers__0__bias=np.ones(4, "f2")),
            "layers.0.bias: expected dtype F32, got F16",
        ),
        (save({}), "missing layers.0.weight"),
        (b"", "not a safetensors file"),
        (b"garbage" * 40, "not a safetensors file"),
        (changed()[:-1], "not a safetensors file"),
        (changed() + b"\0", "not a safetensors file"),
        (struct.pack("<Q", 1 << 62) + b"{}", "not a safetensors file"),
        (struct.pack("<Q", 5000) + b"[" * 5000, "not a safetensors file"),
    ],
)
def test_weights_are_refused_when_they_do_not_fit(data: bytes, told: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_weights(data, spec())
    assert told in caught.value.message


def test_weights_are_refused_when_their_dtype_is_unknown_to_numpy() -> None:
    header = json.dumps({"layers.0.bias": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}})
    data = struct.pack("<Q", len(header)) + header.encode() + bytes(8)
    one = parse_spec({"name": "b", "input": {"shape": [4]}, "layers": [{"type": "layer_norm"}]})
    with pytest.raises(InvalidInput, match=r"missing layers\.0\.weight"):
        decode_weights(data, one)


def test_weights_are_refused_with_a_short_message_when_thousands_of_names_are_wrong() -> None:
    data = save({f"foreign.{i}" + "x" * 500: np.ones(1, "f4") for i in range(2000)})
    with pytest.raises(InvalidInput) as caught:
        decode_weights(data, spec())
    assert len(caught.value.message) < 3000
    assert "and 1992 more" in caught.value.message
