"""A network version that one session trains on its live stream."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from ann_workers.backends.numpy.model import NumpyModel
from ann_workers.backends.numpy.optimizers import new_optimizer
from ann_workers.backends.numpy.state import require_format, separated
from ann_workers.backends.numpy.tensors import loss_tensor
from ann_workers.backends.port import Answer, Request
from foundation.errors import InvalidInput
from registry.networks.arrays import Float32Array, read_arrays, require_names, write_arrays
from registry.networks.parameters import parameter_shapes
from registry.networks.spec import NetworkSpec
from registry.networks.weights import decode_weights, encode_weights

FORMAT = "direct-contact.numpy.training"
FORMAT_VERSION = "1"


class NumpyTrainable(NumpyModel):
    """A private copy of the weights, an optimizer, and one step for each input with its target.

    NaN and infinities pass here too, as in any trainer: an input that has them makes the weights
    NaN, and `load_weights` brings good ones back.

    Raises:
        InvalidInput: the network has no loss or no optimizer.
    """

    def __init__(self, spec: NetworkSpec, parameters: Mapping[str, Float32Array]) -> None:
        if spec.loss is None or spec.optimizer is None:
            missing = "loss" if spec.loss is None else "optimizer"
            raise InvalidInput(
                f"the network {spec.name!r} can't be trained: its spec has no {missing}",
                code="not_trainable",
                field=missing,
            )
        self._optimizer_spec = spec.optimizer
        self._flat = np.concatenate([array.ravel() for array in parameters.values()])
        self._gradients = np.empty_like(self._flat)
        self._gradients_by_name = _views(self._gradients, spec)
        self._optimizer = new_optimizer(spec.optimizer, self._flat)
        super().__init__(spec, _views(self._flat, spec))

    def train(self, request: Request) -> Answer:
        """Take one optimization step on this input and its target.

        The payload has the network's output from before the step, and ``loss``, FP32 of shape [].
        A gru learns from this one time step: its hidden state counts as a constant
        (back-propagation through time of length 1).
        """
        try:
            item = self._read(request)
        except InvalidInput as error:
            return Answer(b"", request.state, error)
        if item.target is None:
            missing = InvalidInput("an input in training needs a target", field="target")
            return Answer(b"", request.state, missing)
        rows = self._rows([request.tensors[0].data])
        with np.errstate(all="ignore"):
            output, loss, hidden, gradients = self._network.learn(
                rows, self._stacked([request]), item.target
            )
            payload = self._payload(output, item) + loss_tensor(loss)
            for name, gradient in gradients.items():
                self._gradients_by_name[name][...] = gradient
            self._optimizer.step(self._flat, self._gradients)
        return Answer(payload, separated(hidden)[0] if hidden else None)

    def weights(self) -> bytes:
        """The weights as they are now, as safetensors."""
        return encode_weights(self._parameters)

    def load_weights(self, data: bytes) -> None:
        """Replace the weights and start the optimizer afresh.

        Raises:
            InvalidInput: they don't fit this network; nothing has changed.
        """
        self._replace(decode_weights(data, self.spec))
        self._optimizer = new_optimizer(self._optimizer_spec, self._flat)

    def dump_training(self) -> bytes:
        """Weights and optimizer as safetensors; training continues from them exactly."""
        memory = {f"optimizer.{name}": array for name, array in self._optimizer.memory.items()}
        return write_arrays(
            {**self._parameters, **memory},
            {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "optimizer": self._optimizer_spec.type,
                "step_count": str(self._optimizer.step_count),
            },
        )

    def load_training(self, data: bytes) -> None:
        """Continue from what `dump_training` wrote.

        Raises:
            InvalidInput: the bytes are not a training of this network; nothing has changed.
        """
        stored, metadata = read_arrays(data, what="training")
        require_format(metadata, FORMAT, FORMAT_VERSION, what="training")
        if metadata.get("optimizer") != self._optimizer_spec.type:
            raise InvalidInput(
                f"training: expected optimizer {self._optimizer_spec.type}, "
                f"got {str(metadata.get('optimizer'))[:80]}"
            )
        step_count = metadata.get("step_count", "")
        if not (step_count.isascii() and step_count.isdigit() and len(step_count) < 19):
            raise InvalidInput(f"training: step_count is no count: {step_count[:80]!r}")
        optimizer = new_optimizer(self._optimizer_spec, self._flat)
        optimizer.step_count = int(step_count)
        shapes = parameter_shapes(self.spec)
        whole = dict.fromkeys((f"optimizer.{name}" for name in optimizer.memory), self._flat.shape)
        require_names(stored, shapes | whole, "training")
        arrays = {n: stored[n].float32(n, shape) for n, shape in (shapes | whole).items()}
        for name, array in optimizer.memory.items():
            array[...] = arrays[f"optimizer.{name}"]
        self._replace({name: arrays[name] for name in shapes})
        self._optimizer = optimizer

    def _replace(self, parameters: Mapping[str, Float32Array]) -> None:
        for name, array in parameters.items():
            self._parameters[name][...] = array


def _views(flat: Float32Array, spec: NetworkSpec) -> dict[str, Float32Array]:
    views: dict[str, Float32Array] = {}
    start = 0
    for name, shape in parameter_shapes(spec).items():
        views[name] = flat[start : start + prod(shape)].reshape(shape)
        start += prod(shape)
    return views
