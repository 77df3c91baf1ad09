"""Training on the live stream."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ann_workers.backends.numpy import NumpyBackend
from ann_workers.backends.numpy.model import NumpyModel
from ann_workers.backends.numpy.training import NumpyTrainable
from ann_workers.backends.port import Request
from foundation.errors import InvalidInput
from launcher.demo.digits import load_digits
from registry.networks.weights import decode_weights
from tests.unit.ann_workers.backends.tensors import array_of, arrays_of, fp32, int64

OPTIMIZERS: list[dict[str, Any]] = [
    {"type": "sgd", "learning_rate": 0.1},
    {"type": "sgd", "learning_rate": 0.1, "momentum": 0.9},
    {"type": "adam", "learning_rate": 0.01},
]
RECURRENT = [
    {"type": "gru", "units": 5},
    {"type": "layer_norm"},
    {"type": "dense", "units": 2},
]
CLASSIFIER = [
    {"type": "dense", "units": 8, "activation": "relu"},
    {"type": "dense", "units": 3, "activation": "softmax"},
]


def load(layers: list[dict[str, Any]] = RECURRENT, **more: Any) -> NumpyModel:
    spec = {
        "name": "n",
        "input": {"shape": [4]},
        "layers": layers,
        "loss": "mse",
        "optimizer": OPTIMIZERS[0],
        **more,
    }
    return NumpyBackend().load(spec, b"")


def stream(count: int, seed: int = 0) -> list[Request]:
    random = np.random.default_rng(seed)
    return [
        Request([fp32(random.normal(size=4))], [fp32(random.normal(size=2))]) for _ in range(count)
    ]


def run(
    model: NumpyTrainable, requests: list[Request], state: Any = None
) -> tuple[list[bytes], Any]:
    payloads = []
    for request in requests:
        answer = model.train(Request(request.tensors, request.target, state))
        assert answer.error is None
        payloads.append(answer.payload)
        state = answer.state
    return payloads, state


def test_train_answers_with_output_and_loss_from_before_the_step() -> None:
    model = load().fork()
    (request,) = stream(1)
    (before,) = model.infer([request])
    trained = model.train(request)
    assert trained.payload == before.payload
    (after,) = model.infer([request])
    assert arrays_of(after.payload)["loss"] < arrays_of(before.payload)["loss"]


def test_sgd_step_equals_the_one_computed_by_hand() -> None:
    layers = [{"type": "dense", "units": 2}]
    model = load(layers).fork()
    before = decode_weights(model.weights(), model.spec)
    x, target = np.array([1, 2, 3, 4], "f4"), np.array([1, -1], "f4")
    answer = model.train(Request([fp32(x)], [fp32(target)]))
    error = before["layers.0.weight"] @ x + before["layers.0.bias"] - target
    after = decode_weights(model.weights(), model.spec)
    assert arrays_of(answer.payload)["loss"] == pytest.approx((error**2).mean(), rel=1e-5)
    # The gradient of the mean of two squares is the error itself.
    np.testing.assert_allclose(
        after["layers.0.weight"], before["layers.0.weight"] - 0.1 * np.outer(error, x), atol=1e-6
    )
    np.testing.assert_allclose(
        after["layers.0.bias"], before["layers.0.bias"] - 0.1 * error, atol=1e-6
    )


def test_step_is_one_for_all_rows_when_the_input_has_a_leading_axis() -> None:
    random = np.random.default_rng(1)
    xs, classes = random.normal(size=(6, 4)), random.integers(3, size=6)
    shared = load(CLASSIFIER, loss="softmax_cross_entropy")
    whole = shared.fork()
    answer = whole.train(Request([fp32(xs)], [int64(classes)]))
    assert array_of(answer.payload).shape == (6, 3)
    # The mean of the rows' own changes is the change of the mean.
    start = decode_weights(
        load(CLASSIFIER, loss="softmax_cross_entropy").fork().weights(), whole.spec
    )
    changes = []
    for x, label in zip(xs, classes, strict=True):
        single = shared.fork()
        single.train(Request([fp32(x)], [int64(label)]))
        changes.append(decode_weights(single.weights(), single.spec))
    for name, array in decode_weights(whole.weights(), whole.spec).items():
        mean = np.mean([change[name] - start[name] for change in changes], axis=0)
        np.testing.assert_allclose(array - start[name], mean, atol=1e-6)


def test_fork_leaves_the_shared_model_as_it_was() -> None:
    shared = load()
    request = stream(1)[0]
    (before,) = shared.infer([request])
    one, other = shared.fork(), shared.fork()
    run(one, stream(5))
    (after,) = shared.infer([request])
    (untrained,) = other.infer([request])
    assert before.payload == after.payload == untrained.payload
    assert one.weights() != other.weights()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_continues_exactly_when_restored(optimizer: dict[str, Any]) -> None:
    requests = stream(20)
    straight = load(optimizer=optimizer).fork()
    expected, _ = run(straight, requests)
    first = load(optimizer=optimizer).fork()
    _, state = run(first, requests[:9])
    second = load(optimizer=optimizer).fork()
    second.load_training(first.dump_training())
    state = second.load_state(first.dump_state(state))
    found, _ = run(second, requests[9:], state)
    assert found == expected[9:]
    assert second.weights() == straight.weights()
    assert second.dump_training() == straight.dump_training()


def test_load_weights_starts_the_optimizer_afresh() -> None:
    model = load(optimizer=OPTIMIZERS[2]).fork()
    start = model.weights()
    expected, _ = run(model, stream(3))
    model.load_weights(start)
    assert model.weights() == start
    found, _ = run(model, stream(3))
    assert found == expected


def test_load_weights_changes_nothing_when_they_do_not_fit() -> None:
    model = load().fork()
    before = model.weights()
    for data in (b"garbage", load(CLASSIFIER, loss="mse").fork().weights(), before[:-1]):
        with pytest.raises(InvalidInput):
            model.load_weights(data)
    assert model.weights() == before


def foreign_trainings() -> list[tuple[bytes, str]]:
    good = load(optimizer=OPTIMIZERS[2]).fork().dump_training()
    return [
        (b"", "not a safetensors file"),
        (good[:-1], "not a safetensors file"),
        (load().fork().weights(), "got none version none"),
        (load().dump_state(None), "got direct-contact.numpy.state version 1"),
        (load().fork().dump_training(), "expected optimizer adam, got sgd"),
        (good.replace(b'"format_version":"1"', b'"format_version":"2"'), "version 2"),
        (good.replace(b'"step_count":"0"', b'"step_count":"x"'), "step_count is no count: 'x'"),
        (
            load(CLASSIFIER, optimizer=OPTIMIZERS[2]).fork().dump_training(),
            "missing layers.0.weight_ih",
        ),
        (good.replace(b"first_moment", b"worst_moment"), "missing optimizer.first_moment"),
    ]


@pytest.mark.parametrize(("data", "told"), foreign_trainings())
def test_training_is_refused_when_it_is_corrupt_or_foreign(data: bytes, told: str) -> None:
    model = load(optimizer=OPTIMIZERS[2]).fork()
    run(model, stream(2))
    before = model.dump_training()
    with pytest.raises(InvalidInput) as caught:
        model.load_training(data)
    assert told in caught.value.message
    assert model.dump_training() == before


def test_train_needs_a_target() -> None:
    model = load().fork()
    answer = model.train(Request(stream(1)[0].tensors))
    assert answer.error is not None
    assert "needs a target" in answer.error.message


def test_train_reports_a_bad_input_and_changes_nothing() -> None:
    model = load().fork()
    before = model.dump_training()
    answer = model.train(Request([fp32([1, 2])], [fp32([1, 2])], state := model.new_state()))
    assert answer.error is not None
    assert "expected shape [4], got [2]" in answer.error.message
    assert answer.state is state
    assert model.dump_training() == before


@pytest.mark.parametrize(("missing", "told"), [("loss", "no loss"), ("optimizer", "no optimizer")])
def test_fork_is_refused_when_the_spec_cannot_be_trained(missing: str, told: str) -> None:
    model = load(**{missing: None})
    assert not model.signature.trainable
    with pytest.raises(InvalidInput, match=told) as caught:
        model.fork()
    assert caught.value.code == "not_trainable"


def test_gru_learns_when_trained_step_by_step() -> None:
    model = load(optimizer={"type": "adam", "learning_rate": 0.01}).fork()
    random = np.random.default_rng(2)
    losses, state = [], None
    for _ in range(800):
        x = random.normal(size=4).astype(np.float32)
        answer = model.train(Request([fp32(x)], [fp32([x[0], -x[1]])], state))
        state = answer.state
        losses.append(float(arrays_of(answer.payload)["loss"]))
    assert np.mean(losses[-100:]) < 0.2 * np.mean(losses[:100])


def test_digits_are_recognised_when_trained_one_by_one() -> None:
    images, labels = load_digits()
    assert images.shape == (1797, 64)
    assert images.dtype == np.float32
    assert (images.min(), images.max()) == (0, 1)
    order = np.random.default_rng(0).permutation(len(images))
    train, held_out = order[:1437], order[1437:]
    spec = {
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
    model = NumpyBackend().load(spec, b"").fork()
    for _ in range(4):
        for i in train:
            model.train(Request([fp32(images[i])], [int64(labels[i])]))
    trained = NumpyBackend().load(spec, model.weights())
    answers = trained.infer([Request([fp32(images[i])]) for i in held_out])
    found = np.array([array_of(answer.payload).argmax() for answer in answers])
    assert (found == labels[held_out]).mean() >= 0.95
