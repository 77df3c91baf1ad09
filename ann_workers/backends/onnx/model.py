"""A loaded ONNX model: batches of serialized tensors in, serialized payloads out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, NoReturn

import numpy as np

from ann_workers.backends.checking import check_tensor, named
from ann_workers.backends.onnx.state import Carried, decode_state, encode_state, zero_state
from ann_workers.backends.onnx.tensors import (
    MAX_ROWS,
    Array,
    to_array,
    to_payload,
)
from ann_workers.backends.port import Answer, Request, Signature, TensorSpec
from foundation.errors import DirectContactError, InvalidInput
from protos.dc.v1.tensor_pb2 import Tensor
from registry.networks.onnx.spec import OnnxSpec

logger = logging.getLogger(__name__)

MAX_BATCH: Final = 64
"""Inputs in one run: Silero's cost per input falls by two thirds up to 32, and hardly after."""
MAX_UNBATCHED: Final = 8
"""Inputs taken at a time by a model that computes one by one: others need not wait for more."""
TOLERANCE: Final = 1e-3
"""How far stacked and single answers may lie apart, absolutely and relatively: far above the
rounding of another order of additions, far below rows that see each other."""


@dataclass(slots=True)
class _Item:
    """One request as it was read: its place in the batch, its arrays, its rows."""

    place: int
    arrays: dict[str, Array]
    state: Carried
    rows: int


class OnnxModel:
    """One ONNX file in onnxruntime.

    Inputs that may share a run are stacked along the batch axes that the spec names. The first
    stacked run is compared with single ones: a model whose rows depend on each other is computed
    one by one from then on, whatever its axes say.
    """

    def __init__(self, spec: OnnxSpec, session: Any) -> None:
        self.spec = spec
        self._session = session
        self._axes = dict(spec.batch_axes)
        self._proved = False
        self._outputs = [entry.name for entry in spec.outputs]
        self._fetched = self._outputs + [entry.output for entry in spec.state]
        self._shared = [entry.name for entry in spec.inputs if entry.name not in self._axes]
        self._zero = zero_state(spec.state)
        self._rows = 1 if spec.stateful else MAX_ROWS
        self.signature = Signature(
            inputs=tuple(TensorSpec(e.name, e.datatype, e.shape) for e in spec.inputs),
            outputs=tuple(TensorSpec(e.name, e.datatype, e.shape) for e in spec.outputs),
            stateful=spec.stateful,
            trainable=False,
            max_batch=MAX_BATCH if self._axes else MAX_UNBATCHED,
        )

    # ------------------------------------------------------------ the port

    def new_state(self) -> Carried | None:
        """The state of a session that has seen no input; None when the network is stateless."""
        return self._zero if self.spec.stateful else None

    def check(self, tensors: Sequence[Tensor]) -> None:
        """Look at an input as it arrives.

        Raises:
            InvalidInput: naming what was expected and what came.
        """
        found = named(tensors, self.spec.inputs)
        for entry in self.spec.inputs:
            check_tensor(found[entry.name], entry, self._axes.get(entry.name), self._rows)

    def infer(self, batch: Sequence[Request]) -> list[Answer]:
        """Compute a batch; one answer per request, in order. The given states are not changed."""
        answers: list[Answer | None] = [None] * len(batch)
        groups: dict[object, list[_Item]] = {}
        for place, request in enumerate(batch):
            try:
                item = self._read(place, request)
            except InvalidInput as error:
                answers[place] = Answer(b"", request.state, error)
                continue
            groups.setdefault(self._likeness(item), []).append(item)
        for group in groups.values():
            for item, answer in zip(group, self._infer_alike(group), strict=True):
                if answer.error is not None:
                    answer.state = batch[item.place].state
                answers[item.place] = answer
        return [answer for answer in answers if answer is not None]

    def dump_state(self, state: Carried | None) -> bytes:
        """The state for a checkpoint; empty when the network is stateless."""
        return encode_state(state, self.spec.state) if state is not None else b""

    def load_state(self, data: bytes) -> Carried | None:
        """The state from a checkpoint.

        Raises:
            InvalidInput: the bytes are not a state of this network.
        """
        return decode_state(data, self.spec.state) if self.spec.stateful else None

    def fork(self) -> NoReturn:
        """ONNX networks can't be trained.

        Raises:
            InvalidInput: always.
        """
        raise InvalidInput(
            f"the network {self.spec.name!r} is an ONNX file: it can't be trained",
            code="not_trainable",
        )

    # ------------------------------------------------------------ grouping

    def _read(self, place: int, request: Request) -> _Item:
        if request.target is not None:
            raise InvalidInput(
                f"the network {self.spec.name!r} has no loss: a target means nothing to it",
                field="target",
            )
        found = named(request.tensors, self.spec.inputs)
        arrays = {name: to_array(tensor, name) for name, tensor in found.items()}
        rows = {arrays[name].shape[axis] for name, axis in self._axes.items() if name in arrays}
        if len(rows) > 1:
            raise InvalidInput(
                f"the inputs have different numbers of rows: {', '.join(map(str, sorted(rows)))}"
            )
        state = self._zero if request.state is None else request.state
        return _Item(place, arrays, state, rows.pop() if rows else 1)

    def _likeness(self, item: _Item) -> object:
        """Items with equal ones can be stacked."""
        if not self._axes:
            return item.place
        shapes = tuple(
            (name, array.shape[: self._axes[name]], array.shape[self._axes[name] + 1 :])
            for name, array in sorted(item.arrays.items())
            if name in self._axes
        )
        return shapes, tuple(
            (item.arrays[name].shape, _content(item.arrays[name])) for name in self._shared
        )

    # ------------------------------------------------------------ computing

    def _infer_alike(self, group: list[_Item]) -> list[Answer]:
        if len(group) == 1 or not self._axes:
            return [self._infer_one(item) for item in group]
        if self._proved:
            return self._infer_stacked(group)
        singles = [self._infer_one(item) for item in group]
        if any(answer.error is not None for answer in singles):
            # It proves nothing: stacked, the failure would be another one.
            return singles
        if self._agrees(group):
            self._proved = True
        else:
            logger.warning(
                "rows of a batch depend on each other: inputs are computed one by one",
                extra={"network": self.spec.name},
            )
            self._axes = {}
        return singles

    def _agrees(self, group: list[_Item]) -> bool:
        """True when stacked and single runs give the same."""
        try:
            stacked = self._split(self._run(self._stack(group)), group)
            for item, together in zip(group, stacked, strict=True):
                alone = self._run({**item.arrays, **item.state})
                for name in self._fetched:
                    if not _close(alone[name], together[name]):
                        return False
        except DirectContactError:
            return False
        return True

    def _infer_stacked(self, group: list[_Item]) -> list[Answer]:
        try:
            results = self._split(self._run(self._stack(group)), group)
            return [self._answer(result) for result in results]
        except DirectContactError:
            # One of them is at fault: it must not cost the others.
            return [self._infer_one(item) for item in group]

    def _infer_one(self, item: _Item) -> Answer:
        try:
            return self._answer(self._run({**item.arrays, **item.state}))
        except DirectContactError as error:
            return Answer(b"", None, error)

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        try:
            results = self._session.run(self._fetched, feeds)
        except Exception as error:  # onnxruntime's errors share no class of their own
            raise InvalidInput(
                f"the model failed on this input: {str(error)[:400]}", code="model_failed"
            ) from error
        return dict(zip(self._fetched, results, strict=True))

    def _stack(self, group: list[_Item]) -> dict[str, Array]:
        first = group[0]
        feeds = {
            name: np.concatenate([item.arrays[name] for item in group], self._axes[name])
            if name in self._axes
            else array
            for name, array in first.arrays.items()
        }
        for name in first.state:
            feeds[name] = np.concatenate([item.state[name] for item in group], self._axes[name])
        return feeds

    def _split(self, results: dict[str, Array], group: list[_Item]) -> list[dict[str, Array]]:
        stops = list(accumulate(item.rows for item in group))
        spans = [slice(stop - item.rows, stop) for item, stop in zip(group, stops, strict=True)]
        parts: list[dict[str, Array]] = [{} for _ in group]
        for name, array in results.items():
            axis = self._axes[name]
            if array.ndim <= axis or array.shape[axis] != stops[-1]:
                raise InvalidInput(
                    f"{name}: {stops[-1]} rows were expected on axis {axis}, shape "
                    f"{list(array.shape)} came"
                )
            before = (slice(None),) * axis
            for part, span in zip(parts, spans, strict=True):
                part[name] = array[(*before, span)]
        return parts

    def _answer(self, results: dict[str, Array]) -> Answer:
        payload = b"".join(
            to_payload(entry.name, entry.datatype, results[entry.name])
            for entry in self.spec.outputs
        )
        if not self.spec.state:
            return Answer(payload)
        carried = {}
        for entry in self.spec.state:
            array = results[entry.output]
            if array.shape != entry.shape:
                raise InvalidInput(
                    f"the model gave a state {entry.output!r} of shape {list(array.shape)} where "
                    f"{list(entry.shape)} was expected",
                    code="model_failed",
                )
            # A copy: a view would keep the whole batch in memory.
            carried[entry.input] = array.copy()
        return Answer(payload, carried)


def _content(array: Array) -> object:
    """What is equal for equal arrays; those of texts hold no bytes but addresses."""
    return tuple(array.ravel().tolist()) if array.dtype.kind == "O" else array.tobytes()


def _close(one: Array, other: Array) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind == "f":
        return np.allclose(one, other, TOLERANCE, TOLERANCE, equal_nan=True)
    return np.array_equal(one, other)
