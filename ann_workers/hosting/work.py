"""One input on its way through a batch: read, computed, or answered with what is wrong with it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from google.protobuf.message import DecodeError

from ann_workers.backends.port import Answer, Model, Request
from ann_workers.hosting.session import Arrived, HeldSession
from foundation.clock import Monotonic
from foundation.errors import CallerError, DirectContactError, InternalError, InvalidInput
from protos.dc.v1.stream_pb2 import Input
from protos.dc.v1.tensor_pb2 import Payload, Tensor

logger = logging.getLogger(__name__)


class Work(Request):
    """A request of a session, and its answer: `error`, or else `answer` once it is computed."""

    __slots__ = ("answer", "at", "error", "seq", "session", "train")

    def __init__(
        self,
        session: HeldSession,
        seq: int,
        at: float,
        payload: bytes = b"",
        data: bytes | None = None,
        tensors: Sequence[Tensor] | None = None,
        target: Sequence[Tensor] | None = None,
        train: bool = False,
        error: DirectContactError | None = None,
    ) -> None:
        self._tensors = tensors
        self.target = target
        self.state = session.state
        self.payload = payload
        self.data = data
        self.session = session
        self.seq = seq
        self.at = at
        self.train = train
        self.error = error
        self.answer: Answer | None = None


def prepare(session: HeldSession, arrived: Arrived, train: bool, clock: Monotonic) -> Work:
    """Read an input whose turn has come; what is wrong with it becomes its `error`."""
    item, at = arrived
    seq = item.seq
    if item.skip or item.budget_ms or session.cancelled:
        dropped = _dropped(session, item, at, clock)
        if dropped is not None:
            return Work(session, seq, at, error=dropped)
    payload = item.payload
    lane = session.lane
    if not item.target:
        data = lane.headers.data(payload)
        if data is not None:
            return Work(session, seq, at, payload, data)
    try:
        tensors = Payload.FromString(payload).tensors
        lane.model.check(tensors)
        if not item.target:
            lane.headers.learn(payload, tensors)
            return Work(session, seq, at, tensors=tensors)
        target = Payload.FromString(item.target).tensors
    except InvalidInput as error:
        return Work(session, seq, at, error=error)
    except DecodeError:
        wrong = InvalidInput(
            f"input {seq}: payload or target is not a serialized dc.v1.Payload",
            code="bad_payload",
        )
        return Work(session, seq, at, error=wrong)
    return Work(session, seq, at, tensors=tensors, target=target, train=train)


def _dropped(
    session: HeldSession, item: Input, at: float, clock: Monotonic
) -> DirectContactError | None:
    seq = item.seq
    if item.skip:
        return CallerError(f"input {seq} was dropped before", code="dropped")
    if not session.machine.may_drop(seq):
        return None
    if seq in session.cancelled:
        session.cancelled.discard(seq)
        return CallerError(f"input {seq} was cancelled", code="cancelled")
    waited_ms = (clock() - at) * 1000
    if item.budget_ms and waited_ms > item.budget_ms:
        return CallerError(
            f"input {seq}: budget_ms is {item.budget_ms}, it waited {waited_ms:.0f} ms",
            code="deadline_exceeded",
        )
    return None


def compute(model: Model, batch: Sequence[Work]) -> None:
    """Fill in the answers. Runs in the event loop or in the compute thread; never raises."""
    run: list[Work] = []
    for work in batch:
        if work.train:
            _infer(model, run)
            run = []
            _train(model, work)
        else:
            run.append(work)
    _infer(model, run)


def _train(model: Model, work: Work) -> None:
    # A stateless session may have several inputs in one batch, but state is None then.
    try:
        work.answer = model.train(work)  # type: ignore[attr-defined]  # a trainer's
    except Exception as error:  # noqa: BLE001  # whatever a backend raises costs this input alone
        work.error = _failure(error)


def _infer(model: Model, run: Sequence[Work]) -> None:
    if not run:
        return
    try:
        for work, answer in zip(run, model.infer(run), strict=True):
            work.answer = answer
    except Exception as error:  # noqa: BLE001  # whatever a backend raises costs its batch alone
        if len(run) == 1:
            run[0].error = _failure(error)
            return
        # Find the input at fault: one of them must not cost the others.
        for work in run:
            _infer(model, [work])


def _failure(error: Exception) -> DirectContactError:
    if isinstance(error, DirectContactError):
        return error
    logger.error("the backend failed", exc_info=error)
    return InternalError("the computation failed", code="compute_failed")
