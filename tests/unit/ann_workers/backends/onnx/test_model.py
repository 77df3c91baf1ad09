from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from ann_workers.backends.onnx.backend import OnnxBackend
from ann_workers.backends.onnx.model import OnnxModel
from ann_workers.backends.port import Answer, Request
from direct_contact.client.tensors import decode_payload, decode_text, encode_tensor
from foundation.errors import InvalidInput
from protos.dc.v1.tensor_pb2 import Tensor
from registry.networks.onnx.inspection import inspect_model
from registry.networks.onnx.spec import StateRequest
from tests.support import onnx_models as models
from tests.support.silero import STATE, chunks, silero_file
from tests.unit.ann_workers.backends.tensors import arrays_of, fp32, int64


def load(data: bytes, state: Any = (), **options: Any) -> OnnxModel:
    asked = [StateRequest.model_validate(one) for one in state]
    spec = inspect_model(data, name="net", state=asked, **options).spec
    return OnnxBackend().load(spec.model_dump(mode="json"), data)


def ask(model: OnnxModel, *tensors: Tensor, state: Any = None) -> Request:
    model.check(tensors)
    return Request(tensors=tensors, state=state)


def y_of(answer: Answer) -> np.ndarray:
    assert answer.error is None, answer.error
    return arrays_of(answer.payload)["y"]


def rows(count: int, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).normal(size=(count, 1, 3)).astype(np.float32))


def test_answers_are_those_of_each_input_alone_when_they_are_stacked() -> None:
    model = load(models.linear())
    xs = rows(9)
    for _ in range(2):  # the first batch is the one that proves that stacking is right
        answers = model.infer([ask(model, fp32(x)) for x in xs])
        for x, answer in zip(xs, answers, strict=True):
            np.testing.assert_allclose(y_of(answer), x @ models.WEIGHT, atol=1e-6)


def test_inputs_of_several_rows_are_stacked_with_others() -> None:
    model = load(models.linear())
    xs = [np.concatenate(rows(n, seed=n)) for n in (3, 1, 5)]
    for _ in range(2):
        answers = model.infer([ask(model, fp32(x, "x")) for x in xs])
        for x, answer in zip(xs, answers, strict=True):
            np.testing.assert_allclose(y_of(answer), x @ models.WEIGHT, atol=1e-6)


def test_only_inputs_with_equal_shared_tensors_are_stacked() -> None:
    model = load(models.scaled())
    xs = rows(6)
    for _ in range(2):
        batch = [ask(model, fp32(x, "x"), fp32(float(i % 2), "k")) for i, x in enumerate(xs)]
        for i, (x, answer) in enumerate(zip(xs, model.infer(batch), strict=True)):
            np.testing.assert_allclose(y_of(answer), x * (i % 2))


def test_inputs_are_computed_one_by_one_when_rows_depend_on_each_other() -> None:
    model = load(models.centred())
    for _ in range(2):
        for answer in model.infer([ask(model, fp32(x)) for x in rows(4)]):
            np.testing.assert_allclose(y_of(answer), np.zeros((1, 3)), atol=1e-6)


def test_model_without_a_batch_axis_answers_each_input() -> None:
    model = load(models.linear(rows=1))
    xs = rows(3)
    for x, answer in zip(xs, model.infer([ask(model, fp32(x)) for x in xs]), strict=True):
        np.testing.assert_allclose(y_of(answer), x @ models.WEIGHT, atol=1e-6)


@pytest.mark.parametrize(("size", "axis"), [("batch", 0), ("batch", 1), (1, 0)])
def test_state_goes_from_each_output_to_the_sessions_next_input(size: int | str, axis: int) -> None:
    model = load(models.running_sum(size, axis=axis), models.SUM_STATE)
    states: list[Any] = [model.new_state() for _ in range(4)]
    sums = np.zeros((4, 1, 3), np.float32)
    for step in range(5):
        xs = rows(4, seed=step)
        sums += xs
        batch = [ask(model, fp32(x), state=s) for x, s in zip(xs, states, strict=True)]
        answers = model.infer(batch)
        states = [answer.state for answer in answers]
        for expected, answer in zip(sums, answers, strict=True):
            np.testing.assert_allclose(y_of(answer), expected, rtol=1e-6)


TEXTS = (["cat"], ["Hündchen", ""], ["a\0b", "cat", "cat"])


def test_texts_come_back_and_are_stacked() -> None:
    model = load(models.words())
    for _ in range(2):
        batch = [ask(model, encode_tensor(np.array(texts, object), "text")) for texts in TEXTS]
        for texts, answer in zip(TEXTS, model.infer(batch), strict=True):
            assert answer.error is None
            arrays = decode_payload(answer.payload)
            assert decode_text(arrays["same"]).tolist() == texts
            expected = [{"cat": 1, "Hündchen": 2}.get(text, 0) for text in texts]
            assert arrays["class"].tolist() == expected


@pytest.mark.parametrize(
    ("shape", "data", "told"),
    [
        ([1], b"\1\0\0\0\xff", "text: element 0 is not UTF-8 text: invalid start byte at byte 0"),
        ([2], b"\1\0\0\0a", "text: expected 2 elements for BYTES [2]"),
        ([1], b"\2\0\0\0a", "the 5 bytes that came are not"),
        ([1], b"\1\0\0\0ab", "the 6 bytes that came are not"),
        ([1], b"\xff\xff\xff\xffa", "the 5 bytes that came are not"),
        ([4096], b"", "text: expected 4096 elements"),
    ],
)
def test_input_is_answered_with_an_error_when_its_elements_are_no_texts(
    shape: list[int], data: bytes, told: str
) -> None:
    model = load(models.words())
    wrong = ask(model, Tensor(name="text", datatype="BYTES", shape=shape, data=data))
    good = ask(model, encode_tensor(np.array(["cat"], object), "text"))
    refused, answered = model.infer([wrong, good])
    assert isinstance(refused.error, InvalidInput)
    assert told in refused.error.message
    assert answered.error is None


def test_state_survives_its_bytes() -> None:
    model = load(models.running_sum(), models.SUM_STATE)
    (x,) = rows(1)
    state = model.infer([ask(model, fp32(x))])[0].state
    again = model.load_state(model.dump_state(state))
    np.testing.assert_array_equal(y_of(model.infer([ask(model, fp32(x), state=again)])[0]), 2 * x)


@pytest.mark.parametrize("data", [b"", b"\xff\xff", b"hello"])
def test_state_is_refused_when_its_bytes_are_not_one(data: bytes) -> None:
    model = load(models.running_sum(), models.SUM_STATE)
    with pytest.raises(InvalidInput):
        model.load_state(data)


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ([], "expected the tensors 'x', got none"),
        ([fp32(np.zeros((1, 3)), "z")], "expected the tensors 'x', got 'z'"),
        ([fp32(np.zeros((1, 3)), "x")] * 2, "got 'x', 'x'"),
        ([int64(np.zeros((1, 3)))], "x: expected datatype FP32, got INT64"),
        ([fp32(np.zeros(3))], "x: expected shape [N, 3], got [3]"),
        ([fp32(np.zeros((1, 4)))], "x: expected shape [N, 3], got [1, 4]"),
        ([fp32(np.zeros((0, 3)))], "x: expected shape [N, 3], got [0, 3]"),
        ([fp32(np.zeros((5000, 3)))], "x: expected at most 4096 on axis 0, got 5000"),
        (
            [Tensor(datatype="FP32", shape=[1, 3], data=b"1")],
            "x: expected 12 bytes for FP32 [1, 3], got 1",
        ),
    ],
)
def test_input_is_refused_when_its_tensors_do_not_fit(tensors: Any, told: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load(models.linear()).check(tensors)
    assert told in caught.value.message


def test_input_of_a_stateful_network_is_refused_when_it_has_several_rows() -> None:
    model = load(models.running_sum(), models.SUM_STATE)
    with pytest.raises(InvalidInput, match="one row a session"):
        model.check([fp32(np.zeros((2, 3)))])


def test_one_input_that_fails_costs_no_other() -> None:
    model = load(silero_file().read_bytes(), STATE)
    rate = Tensor(name="sr", datatype="INT64", data=np.int64(16_000).tobytes())
    good, bad = np.zeros((1, 576), np.float32), np.zeros((1, 3), np.float32)
    for _ in range(2):
        answers = model.infer([ask(model, fp32(x, "input"), rate) for x in (good, bad, good, good)])
        assert [answer.error is None for answer in answers] == [True, False, True, True]
        assert answers[1].error is not None
        assert answers[1].error.code == "model_failed"


def test_input_fails_when_it_needs_more_memory_than_there_is() -> None:
    model = load(models.growing())
    few, many = int64([1000]), int64([1 << 40])
    answers = model.infer([ask(model, few), ask(model, many), ask(model, few)])
    assert [answer.error is None for answer in answers] == [True, False, True]


def test_network_cannot_be_trained() -> None:
    model = load(models.linear())
    assert not model.signature.trainable
    with pytest.raises(InvalidInput, match="can't be trained"):
        model.fork()


def test_file_is_refused_when_onnxruntime_cannot_load_it() -> None:
    spec = inspect_model(models.linear(), name="net").spec.model_dump(mode="json")
    with pytest.raises(InvalidInput, match="can't load the model"):
        OnnxBackend().load(spec, b"not a model")


def test_silero_is_equal_to_onnxruntime_for_sessions_in_one_batch() -> None:
    data = silero_file().read_bytes()
    direct = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    model = load(data, STATE)
    audio = np.random.default_rng(0).normal(scale=0.1, size=(5, 512 * 8)).astype(np.float32)
    streams = [chunks(one) for one in audio]
    expected = [np.zeros((2, 1, 128), np.float32) for _ in streams]
    states: list[Any] = [None] * len(streams)
    rate = Tensor(name="sr", datatype="INT64", data=np.int64(16_000).tobytes())
    for step in range(8):
        xs = [stream[step] for stream in streams]
        batch = [
            ask(model, fp32(x, "input"), rate, state=state)
            for x, state in zip(xs, states, strict=True)
        ]
        answers = model.infer(batch)
        states = [answer.state for answer in answers]
        for place, (x, answer) in enumerate(zip(xs, answers, strict=True)):
            feeds = {"input": x, "state": expected[place], "sr": np.array(16_000)}
            probability, expected[place] = direct.run(None, feeds)
            np.testing.assert_allclose(arrays_of(answer.payload)["output"], probability, atol=1e-5)
