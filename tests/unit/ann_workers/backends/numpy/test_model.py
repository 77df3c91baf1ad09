"""A loaded network: batches, checks, targets, states."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ann_workers.backends.numpy import NumpyBackend
from ann_workers.backends.numpy import model as model_module
from ann_workers.backends.numpy.model import NumpyModel
from ann_workers.backends.port import Request
from foundation.errors import InvalidInput
from protos.dc.v1.tensor_pb2 import Payload, Tensor
from registry.networks.weights import decode_weights
from tests.unit.ann_workers.backends.tensors import array_of, arrays_of, fp32, int64


def load(layers: list[dict[str, Any]], shape: list[int], **more: Any) -> NumpyModel:
    return NumpyBackend().load(
        {"name": "n", "input": {"shape": shape}, "layers": layers, **more}, b""
    )


def dense(units: int = 3, activation: str = "tanh") -> dict[str, Any]:
    return {"type": "dense", "units": units, "activation": activation}


CLASSIFIER = [dense(8, "relu"), dense(3, "softmax")]
LOSS = "softmax_cross_entropy"


def inputs(count: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


@pytest.mark.parametrize(
    "layers",
    [
        *([dense(5, name)] for name in ("linear", "relu", "tanh", "sigmoid", "gelu", "softmax")),
        [dense(7, "gelu"), {"type": "layer_norm"}, dense(3, "softmax")],
        [{"type": "layer_norm"}, {"type": "gru", "units": 4}, dense()],
    ],
)
@pytest.mark.parametrize("count", [1, 2, 33, 300])
def test_batch_equals_one_by_one(layers: list[dict[str, Any]], count: int) -> None:
    model = load(layers, [6])
    xs = inputs(count, (6,))
    together = model.infer([Request([fp32(x)]) for x in xs])
    assert len(together) == count
    for x, answer in zip(xs, together, strict=True):
        (alone,) = model.infer([Request([fp32(x)])])
        np.testing.assert_allclose(array_of(answer.payload), array_of(alone.payload), atol=1e-6)
        assert array_of(answer.payload).shape == model.signature.outputs[0].shape


def test_network_equals_its_formula_when_written_in_numpy() -> None:
    model = load(CLASSIFIER, [4], seed=3)
    weights = model._parameters
    x = inputs(1, (4,))[0]
    hidden = np.maximum(weights["layers.0.weight"] @ x + weights["layers.0.bias"], 0)
    logits = weights["layers.1.weight"] @ hidden + weights["layers.1.bias"]
    (answer,) = model.infer([Request([fp32(x)])])
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(array_of(answer.payload), expected, atol=1e-6)


def test_payload_is_what_protobuf_would_write() -> None:
    model = load(CLASSIFIER, [4])
    (answer,) = model.infer([Request([fp32([1, 2, 3, 4])])])
    tensor = Tensor(
        name="output", datatype="FP32", shape=[3], data=array_of(answer.payload).tobytes()
    )
    assert answer.payload == Payload(tensors=[tensor]).SerializeToString()
    assert answer.error is None
    assert answer.state is None


@pytest.mark.parametrize("shape", [(4,), (2, 4), (2, 3, 4)])
def test_output_has_the_leading_axis_when_the_input_has_one(shape: tuple[int, ...]) -> None:
    model = load(CLASSIFIER, list(shape))
    xs = inputs(5, shape)
    whole, single, *rest = model.infer(
        [Request([fp32(xs)]), Request([fp32(xs[0])]), *(Request([fp32(x[None])]) for x in xs)]
    )
    assert array_of(whole.payload).shape == (5, *shape[:-1], 3)
    assert array_of(single.payload).shape == (*shape[:-1], 3)
    assert array_of(rest[0].payload).shape == (1, *shape[:-1], 3)
    for i, answer in enumerate(rest):
        np.testing.assert_allclose(
            array_of(answer.payload)[0], array_of(whole.payload)[i], atol=1e-6
        )


def test_large_inputs_are_computed_in_pieces_when_they_exceed_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_module, "MAX_ACTIVATIONS", 64)
    model = load(CLASSIFIER, [4])
    assert model.signature.max_batch == 8
    xs = inputs(30, (4,))
    requests = [Request([fp32(xs[i : i + 6])]) for i in range(0, 30, 6)]
    found = np.concatenate([array_of(one.payload) for one in model.infer(requests)])
    singles = [array_of(one.payload) for one in model.infer([Request([fp32(x)]) for x in xs])]
    np.testing.assert_allclose(found, singles, atol=1e-6)
    with pytest.raises(InvalidInput, match="leading axis of 1 to 8 items, got 9"):
        model.check([fp32(xs[:9])])


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ([], "expected one tensor 'input', got 0 tensors"),
        ([fp32([0] * 4)] * 2, "expected one tensor 'input', got 2 tensors"),
        ([fp32([0] * 4, name="x")], "expected a tensor named 'input' or without a name, got 'x'"),
        ([fp32([0] * 5)], "expected shape [4] or [N, 4], got [5]"),
        ([fp32(np.zeros((2, 2)))], "expected shape [4] or [N, 4], got [2, 2]"),
        ([fp32(np.zeros((1, 1, 4)))], "expected shape [4] or [N, 4], got [1, 1, 4]"),
        ([fp32(np.zeros((0, 4)))], "expected a leading axis of 1 to 4096 items, got 0"),
        ([fp32(np.zeros((4097, 4)))], "expected a leading axis of 1 to 4096 items, got 4097"),
        ([Tensor(datatype="FP32", shape=[-1, 4])], "leading axis of 1 to 4096 items, got -1"),
        ([Tensor(datatype="FP64", shape=[4], data=bytes(32))], "datatype FP32, got FP64"),
        ([Tensor(datatype="", shape=[4], data=bytes(16))], "datatype FP32, got "),
        (
            [Tensor(datatype="FP32", shape=[4], data=bytes(15))],
            "expected 16 bytes for FP32 [4], got 15",
        ),
        (
            [Tensor(datatype="FP32", shape=[2, 4], data=bytes(16))],
            "expected 32 bytes for FP32 [2, 4], got 16",
        ),
        ([Tensor(datatype="FP32", shape=range(500))], "got [0, 1, 2"),
    ],
)
def test_input_error_says_what_was_expected_and_what_came(tensors: list[Tensor], told: str) -> None:
    model = load(CLASSIFIER, [4])
    with pytest.raises(InvalidInput) as caught:
        model.check(tensors)
    assert told in caught.value.message
    assert len(caught.value.message) < 250
    good = Request([fp32([1, 2, 3, 4])])
    if len(tensors) == 1 and (tensors[0].name or tensors[0].datatype != "FP32"):
        return  # `infer` sees lengths and ranks; name and datatype are `check`'s alone
    before, bad, after = model.infer([good, Request(tensors), good])
    assert bad.payload == b""
    assert bad.error is not None
    assert bad.error.message == caught.value.message
    assert before.payload == after.payload != b""
    assert before.error is None


@pytest.mark.parametrize("name", ["", "input"])
@pytest.mark.parametrize("shape", [(4,), (1, 4), (7, 4)])
def test_check_passes_when_the_input_fits(name: str, shape: tuple[int, ...]) -> None:
    load(CLASSIFIER, [4]).check([fp32(np.zeros(shape), name=name)])


def test_check_refuses_a_leading_axis_when_the_network_is_stateful() -> None:
    model = load([{"type": "gru", "units": 2}], [4])
    model.check([fp32([1, 2, 3, 4])])
    with pytest.raises(InvalidInput, match=r"expected shape \[4\], got \[1, 4\]"):
        model.check([fp32([[1, 2, 3, 4]])])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3e38])
@pytest.mark.parametrize(
    "layers",
    [
        *([dense(3, name)] for name in ("linear", "relu", "tanh", "sigmoid", "gelu", "softmax")),
        [{"type": "layer_norm"}, dense()],
        [{"type": "gru", "units": 3}],
    ],
)
def test_values_pass_in_silence_when_they_are_not_finite(
    layers: list[dict[str, Any]], value: float
) -> None:
    model = load(layers, [4], loss="mse", optimizer={"type": "adam"})
    odd, plain = Request([fp32([value, 1, 2, 3])]), Request([fp32([0, 1, 2, 3])])
    first, second = model.infer([odd, plain])
    assert first.error is None
    (alone,) = model.infer([plain])
    np.testing.assert_allclose(array_of(second.payload), array_of(alone.payload), atol=1e-6)
    if math.isnan(value):
        assert np.isnan(array_of(first.payload)).any()
    odd.target = [fp32([value] * 3)]
    (evaluated,) = model.infer([odd])
    assert "loss" in arrays_of(evaluated.payload)
    trained = model.fork().train(odd)
    assert trained.error is None


def test_infer_adds_the_loss_when_a_target_is_given() -> None:
    model = load(CLASSIFIER, [4], loss=LOSS)
    xs = inputs(3, (4,))
    requests = [
        Request([fp32(xs[0])], [int64(2)]),
        Request([fp32(xs[1])]),
        Request([fp32(xs)], [int64([0, 1, 2])]),
    ]
    first, second, third = (arrays_of(answer.payload) for answer in model.infer(requests))
    assert first["loss"].shape == ()
    assert first["loss"] == pytest.approx(-math.log(first["output"][2]), rel=1e-5)
    assert list(second) == ["output"]
    expected = -np.log(third["output"][np.arange(3), np.arange(3)]).mean()
    assert third["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "target",
    [
        int64(1),
        int64([1]),
        int64(1, "INT32"),
        int64([1], "INT32"),
        fp32([0, 1, 0]),
        fp32([0, 1, 0], name="target"),
    ],
)
def test_target_means_the_same_when_it_comes_in_another_form(target: Tensor) -> None:
    model = load(CLASSIFIER, [4], loss=LOSS)
    (answer,) = model.infer([Request([fp32([1, 2, 3, 4])], [target])])
    (expected,) = model.infer([Request([fp32([1, 2, 3, 4])], [int64(1)])])
    assert arrays_of(answer.payload)["loss"] == pytest.approx(arrays_of(expected.payload)["loss"])


@pytest.mark.parametrize(
    ("loss", "target", "told"),
    [
        (LOSS, [], "expected one tensor 'target', got 0 tensors"),
        (LOSS, [int64(1), int64(1)], "expected one tensor 'target', got 2 tensors"),
        (LOSS, [fp32([0, 1, 0], name="y")], "named 'target' or without a name, got 'y'"),
        (LOSS, [int64(3)], "expected class indexes from 0 to 2, got 3"),
        (LOSS, [int64(-1)], "expected class indexes from 0 to 2, got -1"),
        (LOSS, [int64([0, 1])], "expected shape [], got [2]"),
        (LOSS, [fp32([0, 1])], "expected shape [3], got [2]"),
        (LOSS, [Tensor(datatype="UINT8", shape=[1], data=b"1")], "INT64 or INT32 class indexes"),
        (LOSS, [Tensor(datatype="INT64", data=bytes(4))], "expected 8 bytes for INT64 [], got 4"),
        (LOSS, [Tensor(datatype="FP32", shape=[3], data=b"")], "expected 12 bytes"),
        ("mse", [int64(1)], "expected datatype FP32, got INT64"),
        ("mse", [fp32(1)], "expected shape [3], got []"),
        (None, [fp32([0, 1, 0])], "the network 'n' has no loss"),
    ],
)
def test_target_error_says_what_was_expected_and_what_came(
    loss: str | None, target: list[Tensor], told: str
) -> None:
    model = load(CLASSIFIER, [4], loss=loss, optimizer={"type": "sgd"})
    request = Request([fp32([1, 2, 3, 4])], target)
    (answer,) = model.infer([request])
    assert answer.error is not None
    assert told in answer.error.message
    if loss:
        trainable = model.fork()
        before = trainable.weights()
        error = trainable.train(request).error
        assert error is not None
        assert error.message == answer.error.message
        assert trainable.weights() == before


def test_signature_tells_what_goes_in_and_out() -> None:
    signature = load([dense(5), {"type": "gru", "units": 2}], [4], loss="mse").signature
    assert [(t.name, t.datatype, t.shape) for t in signature.inputs] == [("input", "FP32", (4,))]
    assert [(t.name, t.datatype, t.shape) for t in signature.outputs] == [("output", "FP32", (2,))]
    assert signature.stateful
    assert not signature.trainable
    assert signature.max_batch == 256


def test_state_round_trips_when_dumped() -> None:
    model = load([{"type": "gru", "units": 2}, {"type": "gru", "units": 3}], [4])
    (answer,) = model.infer([Request([fp32([1, 2, 3, 4])])])
    back = model.load_state(model.dump_state(answer.state))
    assert back is not None
    for one, other in zip(back, answer.state, strict=True):
        np.testing.assert_array_equal(one, other)
    again = [model.infer([Request([fp32([4, 3, 2, 1])], None, s)]) for s in (back, answer.state)]
    assert again[0][0].payload == again[1][0].payload


def test_new_state_round_trips_when_it_was_never_used() -> None:
    model = load([{"type": "gru", "units": 2}], [4])
    assert model.dump_state(None) == model.dump_state(model.new_state())
    stateless = load([dense()], [4])
    assert stateless.new_state() is None
    assert stateless.dump_state(None) == b""
    assert stateless.load_state(b"") is None


def foreign_states() -> list[tuple[bytes, str]]:
    def model(units: int) -> NumpyModel:
        layers = [{"type": "gru", "units": units}]
        return load(layers, [4], loss="mse", optimizer={"type": "sgd"})

    good = model(2).dump_state(None)
    two = load([{"type": "gru", "units": 2}] * 2, [4])
    return [
        (b"", "not a safetensors file"),
        (b"\x00" * 64, "not a safetensors file"),
        (good[:-1], "not a safetensors file"),
        (good.replace(b'"1"', b'"9"'), "got direct-contact.numpy.state version 9"),
        (model(3).dump_state(None), "hidden.0: expected shape [2], got [3]"),
        (two.dump_state(None), "unknown hidden.1"),
        (model(2).fork().weights(), "got none version none"),
        (model(2).fork().dump_training(), "got direct-contact.numpy.training version 1"),
    ]


@pytest.mark.parametrize(("data", "told"), foreign_states())
def test_state_is_refused_when_it_is_corrupt_or_foreign(data: bytes, told: str) -> None:
    model = load([{"type": "gru", "units": 2}], [4])
    with pytest.raises(InvalidInput) as caught:
        model.load_state(data)
    assert told in caught.value.message


def test_state_is_refused_when_the_network_has_none() -> None:
    with pytest.raises(InvalidInput, match="has none, got 3 bytes"):
        load([dense()], [4]).load_state(b"abc")


def test_load_refuses_a_spec_or_weights_that_are_wrong() -> None:
    backend = NumpyBackend()
    spec = {"name": "n", "input": {"shape": [4]}, "layers": [dense(0)]}
    with pytest.raises(InvalidInput, match=r"layers\.0\.units: .*greater than or equal to 1"):
        backend.load(spec, b"")
    with pytest.raises(InvalidInput, match="weights: not a safetensors file"):
        backend.load({**spec, "layers": [dense()]}, b"garbage")


def test_load_starts_from_the_seed_when_there_are_no_weights() -> None:
    model = load(CLASSIFIER, [4], loss=LOSS, optimizer={"type": "sgd"}, seed=5)
    again = NumpyBackend().load(model.spec.model_dump(), model.fork().weights())
    for name, array in decode_weights(again.fork().weights(), model.spec).items():
        np.testing.assert_array_equal(array, model._parameters[name])


def test_infer_answers_nothing_when_the_batch_is_empty() -> None:
    assert load(CLASSIFIER, [4]).infer([]) == []
    assert load([{"type": "gru", "units": 2}], [4]).infer([]) == []
