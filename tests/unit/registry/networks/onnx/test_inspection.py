from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from foundation.errors import InvalidInput
from registry.networks.onnx.inspection import inspect_model
from registry.networks.onnx.spec import BATCHED, OnnxSpec, StateRequest, parse_onnx_spec
from tests.support import onnx_models as models
from tests.support.silero import STATE, silero_file


def inspect(data: bytes, state: Any = (), **options: Any) -> OnnxSpec:
    asked = [StateRequest.model_validate(one) for one in state]
    return inspect_model(data, name="net", state=asked, **options).spec


def refusal(data: bytes, state: Any = ()) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        inspect(data, state)
    return caught.value


def test_inputs_outputs_and_batch_axis_are_read_from_the_file() -> None:
    spec = inspect(models.linear())
    assert [(t.name, t.datatype, t.shape) for t in spec.inputs] == [("x", "FP32", (-1, 3))]
    assert [(t.name, t.datatype, t.shape) for t in spec.outputs] == [("y", "FP32", (-1, 2))]
    assert spec.batch_axes == {"x": 0, "y": 0}
    assert spec.batching == BATCHED
    assert not spec.stateful


def test_state_is_hidden_and_its_batch_axis_is_found_by_name() -> None:
    spec = inspect(models.running_sum(axis=1), models.SUM_STATE)
    assert [t.name for t in spec.inputs] == ["x"]
    assert [t.name for t in spec.outputs] == ["y"]
    assert [(t.input, t.output, t.shape) for t in spec.state] == [("s", "t", (3, 1))]
    assert spec.batch_axes == {"x": 0, "y": 0, "s": 1, "t": 1}


def test_state_of_silero_is_one_sessions_share_of_its_batch() -> None:
    spec = inspect(silero_file().read_bytes(), STATE)
    assert [t.name for t in spec.inputs] == ["input", "sr"]
    assert spec.state[0].shape == (2, 1, 128)
    assert spec.batch_axes == {"input": 0, "output": 0, "state": 1, "stateN": 1}


def test_spec_is_read_back_equal() -> None:
    spec = inspect(models.running_sum(), models.SUM_STATE)
    assert parse_onnx_spec(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (models.linear(rows=1), "one by one: no input has a free first axis"),
        (
            models.file(
                [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)],
                [models.tensor("x", ["batch", 3])],
                [models.tensor("y", [])],
            ),
            "one by one: the output 'y' has no batch axis",
        ),
    ],
)
def test_spec_says_why_when_inputs_cannot_be_stacked(data: bytes, reason: str) -> None:
    spec = inspect(data)
    assert (spec.batch_axes, spec.batching) == ({}, reason)


def test_inputs_are_not_stacked_when_the_creator_does_not_want_it() -> None:
    assert inspect(models.linear(), batch=False).batch_axes == {}


@pytest.mark.parametrize("data", [b"", b"hello", b"\x00" * 100, b"\x08\x08", b"{}"])
def test_file_is_refused_when_it_is_not_onnx(data: bytes) -> None:
    error = refusal(data)
    assert (error.code, error.field) == ("not_onnx", "file")
    assert str(len(data)) in error.message


@pytest.mark.parametrize("inside", [False, True])
def test_file_is_refused_when_it_has_a_custom_operator(inside: bool) -> None:
    error = refusal(models.custom_operator(inside=inside))
    assert error.code == "custom_operator"
    assert "'frob'" in error.message
    assert "'Frobnicate'" in error.message
    assert "'example.org'" in error.message


def test_file_is_refused_when_its_data_lies_elsewhere() -> None:
    error = refusal(models.external_data())
    assert error.code == "external_data"
    assert "'w'" in error.message


@pytest.mark.parametrize("data", [models.huge_initializer(), models.huge_constant()])
def test_file_is_refused_when_it_makes_an_absurd_tensor(data: bytes) -> None:
    error = refusal(data)
    assert error.code == "tensor_too_large"
    assert str(4 << 40) in error.message
    assert str(512 << 20) in error.message


def test_file_is_refused_when_a_stored_tensor_is_cut() -> None:
    made = models.model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [models.tensor("x", ["batch", 3])],
        [models.tensor("y", ["batch", 2])],
        stored={"w": models.WEIGHT},
    )
    made.graph.initializer[0].raw_data = b"1234"
    error = refusal(made.SerializeToString())
    assert error.code == "bad_tensor"
    assert "24 bytes, the file has 4" in error.message


def test_file_is_refused_when_its_opset_is_too_new() -> None:
    data = models.file(
        [helper.make_node("Identity", ["x"], ["y"])],
        [models.tensor("x", [1])],
        [models.tensor("y", [1])],
        opset=999,
    )
    error = refusal(data)
    assert error.code == "opset_too_new"
    assert "999" in error.message


def test_file_is_refused_when_an_output_is_no_tensor() -> None:
    sequence = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, [3])
    data = models.file(
        [helper.make_node("SequenceConstruct", ["x"], ["y"])], [models.tensor("x", [3])], [sequence]
    )
    error = refusal(data)
    assert error.code == "not_a_tensor"
    assert "'y' is a sequence" in error.message


def test_file_is_refused_when_its_elements_cannot_travel() -> None:
    data = models.file(
        [helper.make_node("Identity", ["x"], ["y"])],
        [models.tensor("x", [1], TensorProto.COMPLEX64)],
        [models.tensor("y", [1], TensorProto.COMPLEX64)],
    )
    error = refusal(data)
    assert error.code == "datatype"
    assert "the input 'x' has elements of type COMPLEX64" in error.message


def test_texts_travel_as_bytes_and_are_no_state() -> None:
    spec = inspect(models.words())
    assert [(t.name, t.datatype, t.shape) for t in spec.inputs] == [("text", "BYTES", (-1,))]
    assert [t.datatype for t in spec.outputs] == ["BYTES", "INT64"]
    error = refusal(
        models.file(
            [helper.make_node("Identity", [a], [b]) for a, b in (("x", "y"), ("s", "t"))],
            [models.tensor("x", [1]), models.tensor("s", [1], TensorProto.STRING)],
            [models.tensor("y", [1]), models.tensor("t", [1], TensorProto.STRING)],
        ),
        models.SUM_STATE,
    )
    assert error.field == "state.0"
    assert "'s' is BYTES: a state has elements of a fixed size" in error.message


@pytest.mark.parametrize(
    ("state", "field", "told"),
    [
        ([{"input": "no", "output": "t"}], "state.0.input", "no input 'no'; it has x, s"),
        ([{"input": "s", "output": "no"}], "state.0.output", "no output 'no'; it has y, t"),
        ([*models.SUM_STATE, *models.SUM_STATE], "state.1.input", "'s' is named twice"),
        ([{"input": "s", "output": "t", "shape": [1, 4]}], "state.0", "[1, 4] does not fit 's'"),
        ([{"input": "s", "output": "t", "shape": [3]}], "state.0", "[3] does not fit 's'"),
        (
            [{"input": "s", "output": "t"}, {"input": "x", "output": "y"}],
            "state",
            "every input of the model",
        ),
    ],
)
def test_state_is_refused_when_it_does_not_fit_the_model(state: Any, field: str, told: str) -> None:
    error = refusal(models.running_sum(), state)
    assert error.field == field
    assert told in error.message


def test_state_is_refused_when_its_datatypes_differ() -> None:
    data = models.file(
        [
            helper.make_node("Identity", ["x"], ["y"]),
            helper.make_node("Cast", ["s"], ["t"], to=TensorProto.INT64),
        ],
        [models.tensor("x", ["batch", 3]), models.tensor("s", ["batch", 3])],
        [models.tensor("y", ["batch", 3]), models.tensor("t", ["batch", 3], TensorProto.INT64)],
    )
    error = refusal(data, models.SUM_STATE)
    assert "'s' is FP32, the output 't' is INT64" in error.message


def test_state_with_open_axes_needs_a_shape() -> None:
    data = models.file(
        [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Identity", ["s"], ["t"])],
        [models.tensor("x", ["batch", 3]), models.tensor("s", ["layers", "batch", "units"])],
        [models.tensor("y", ["batch", 3]), models.tensor("t", ["layers", "batch", "units"])],
    )
    error = refusal(data, models.SUM_STATE)
    assert error.field == "state.0.shape"
    assert "axis 0, 2" in error.message
    spec = inspect(data, [{**models.SUM_STATE[0], "shape": [2, 1, 8]}])
    assert spec.state[0].shape == (2, 1, 8)


def test_state_is_refused_when_it_is_too_large() -> None:
    data = models.file(
        [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Identity", ["s"], ["t"])],
        [models.tensor("x", ["batch", 3]), models.tensor("s", ["batch", 1 << 22])],
        [models.tensor("y", ["batch", 3]), models.tensor("t", ["batch", 1 << 22])],
    )
    error = refusal(data, models.SUM_STATE)
    assert str(np.prod([1 << 22, 4])) in error.message
    assert str(4 << 20) in error.message
