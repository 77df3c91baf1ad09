"""A loaded network version: batches of serialized tensors in, serialized payloads out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from ann_workers.backends.numpy.losses import Target
from ann_workers.backends.numpy.network import Network
from ann_workers.backends.numpy.state import (
    HiddenState,
    decode_state,
    encode_state,
    separated,
    zero_state,
)
from ann_workers.backends.numpy.tensors import (
    INPUT_NAME,
    MAX_LEADING_ROWS,
    OUTPUT_NAME,
    check_input,
    loss_tensor,
    read_target,
)
from ann_workers.backends.payload import payload_prefix
from ann_workers.backends.port import Answer, Request, Signature, TensorSpec
from foundation.errors import InvalidInput
from protos.dc.v1.tensor_pb2 import Tensor
from registry.networks.arrays import Float32Array
from registry.networks.spec import MAX_ACTIVATIONS, NetworkSpec

if TYPE_CHECKING:
    from ann_workers.backends.numpy.training import NumpyTrainable

MAX_BATCH = 256
"""Requests in one computation: past some dozens the cost of a request hardly falls any more, while
the whole batch waits for its slowest part."""

_FLOAT_BYTES = 4


class NumpyModel:
    """A network of dense, gru and layer norm layers in float32.

    An input of a stateless network has the network's input shape, or that with one more axis
    before it; the output then has the same. An input of a stateful network is one time step.
    """

    def __init__(self, spec: NetworkSpec, parameters: Mapping[str, Float32Array]) -> None:
        self.spec = spec
        self._parameters = parameters
        self._network = Network(spec, parameters)
        self._shape = spec.input.shape
        self._shape_list = list(self._shape)
        self._output_shape = spec.output_shape
        self._item_bytes = _FLOAT_BYTES * prod(self._shape)
        self._output_bytes = _FLOAT_BYTES * prod(self._output_shape)
        self._prefix = payload_prefix(OUTPUT_NAME, "FP32", self._output_shape, self._output_bytes)
        widest = max(width for _, width in spec.layers_with_widths())
        widest = max(widest, self._output_shape[-1]) * prod(self._shape[:-1])
        self._max_items = max(1, min(MAX_LEADING_ROWS, MAX_ACTIVATIONS // widest))
        self.signature = Signature(
            inputs=(TensorSpec(INPUT_NAME, "FP32", self._shape),),
            outputs=(TensorSpec(OUTPUT_NAME, "FP32", self._output_shape),),
            stateful=spec.stateful,
            trainable=spec.trainable,
            max_batch=min(MAX_BATCH, self._max_items),
        )

    def new_state(self) -> HiddenState | None:
        """The state of a session that has seen no input; None when the network is stateless."""
        return zero_state(self._network.hidden_units) if self.signature.stateful else None

    def check(self, tensors: Sequence[Tensor]) -> None:
        """Look at an input as it arrives.

        Raises:
            InvalidInput: naming what was expected and what came.
        """
        if len(tensors) == 1:  # the usual input, at half the cost
            tensor = tensors[0]
            if (
                tensor.shape == self._shape_list
                and len(tensor.data) == self._item_bytes
                and tensor.datatype == "FP32"
                and tensor.name in ("", INPUT_NAME)
            ):
                return
        check_input(tensors, self._shape, 0 if self.signature.stateful else self._max_items)

    def infer(self, batch: Sequence[Request]) -> list[Answer]:
        """Compute a batch; one answer per request, in order. The given states are not changed."""
        most = self.signature.max_batch
        if len(batch) > most:
            starts = range(0, len(batch), most)
            return list(chain.from_iterable(self.infer(batch[i : i + most]) for i in starts))
        with np.errstate(all="ignore"):
            data = self._uniform(batch)
            return self._infer_mixed(batch) if data is None else self._infer_uniform(batch, data)

    def dump_state(self, state: HiddenState | None) -> bytes:
        """The state for a checkpoint; empty when the network is stateless."""
        return encode_state(state or self.new_state() or ()) if self.signature.stateful else b""

    def load_state(self, data: bytes) -> HiddenState | None:
        """The state from a checkpoint.

        Raises:
            InvalidInput: the bytes are not a state of this network.
        """
        if self.signature.stateful:
            return decode_state(data, self._network.hidden_units)
        if data:
            raise InvalidInput(
                f"state: the network {self.spec.name!r} has none, got {len(data)} bytes"
            )
        return None

    def fork(self) -> NumpyTrainable:
        """A private copy for one session to train, with a fresh optimizer.

        Raises:
            InvalidInput: the network has no loss or no optimizer.
        """
        from ann_workers.backends.numpy.training import NumpyTrainable  # it extends this class

        return NumpyTrainable(self.spec, self._parameters)

    def _uniform(self, batch: Sequence[Request]) -> list[bytes] | None:
        """The data of the inputs when each is one item without target; None otherwise."""
        item_bytes, rank = self._item_bytes, len(self._shape)
        data = []
        for request in batch:
            if request.target is not None:
                return None
            if request.data is not None:
                data.append(request.data)
                continue
            if len(request.tensors) != 1:
                return None
            tensor = request.tensors[0]
            one = tensor.data
            if len(one) != item_bytes or len(tensor.shape) != rank:
                return None
            data.append(one)
        return data

    def _infer_uniform(self, batch: Sequence[Request], data: list[bytes]) -> list[Answer]:
        if not batch:
            return []
        output, _, hidden = self._network.forward(self._rows(data), self._stacked(batch))
        raw = output.tobytes()
        prefix, size = self._prefix, self._output_bytes
        payloads = [prefix + raw[i : i + size] for i in range(0, len(raw), size)]
        return list(map(Answer, payloads, separated(hidden) if hidden else repeat(None)))

    def _infer_mixed(self, batch: Sequence[Request]) -> list[Answer]:
        """As `_infer_uniform`, for inputs with targets, with leading axes, or with faults."""
        answers: list[Answer] = []
        group: list[_Item] = []
        items = 0
        for request in batch:
            try:
                item = self._read(request)
            except InvalidInput as error:
                answers += self._infer_group(group)
                answers.append(Answer(b"", request.state, error))
                group, items = [], 0
                continue
            if items + item.count > self._max_items:
                answers += self._infer_group(group)
                group, items = [], 0
            group.append(item)
            items += item.count
        return answers + self._infer_group(group)

    def _infer_group(self, group: list[_Item]) -> list[Answer]:
        if not group:
            return []
        requests = [item.request for item in group]
        data = [request.tensors[0].data for request in requests]
        output, losing, hidden = self._network.forward(self._rows(data), self._stacked(requests))
        states = separated(hidden) if hidden else [None] * len(group)
        answers = []
        start = 0
        for item, state in zip(group, states, strict=True):
            stop = start + item.count * prod(self._shape[:-1])
            payload = self._payload(output[start:stop], item)
            if item.target is not None:
                payload += loss_tensor(self._network.loss(losing[start:stop], item.target))
            answers.append(Answer(payload, state))
            start = stop
        return answers

    def _read(self, request: Request) -> _Item:
        leading = check_input(
            request.tensors, self._shape, 0 if self.signature.stateful else self._max_items
        )
        shape = (leading, *self._output_shape) if leading else self._output_shape
        target = None if request.target is None else read_target(request.target, self.spec, shape)
        return _Item(request, leading or 1, shape, target)

    def _payload(self, rows: Float32Array, item: _Item) -> bytes:
        size = item.count * self._output_bytes
        return payload_prefix(OUTPUT_NAME, "FP32", item.output_shape, size) + rows.tobytes()

    def _rows(self, data: list[bytes]) -> Float32Array:
        joined = np.frombuffer(b"".join(data), "<f4")
        return joined.reshape(-1, self._shape[-1])

    def _stacked(self, batch: Sequence[Request]) -> list[Float32Array]:
        if not self.signature.stateful:
            return []
        zero = self.new_state()
        states = [zero if request.state is None else request.state for request in batch]
        return [np.stack(rows) for rows in zip(*states, strict=True)]


class _Item:
    """One request of a mixed batch, as it was read."""

    __slots__ = ("count", "output_shape", "request", "target")

    def __init__(
        self, request: Request, count: int, output_shape: tuple[int, ...], target: Target | None
    ) -> None:
        self.request = request
        self.count = count
        self.output_shape = output_shape
        self.target = target
