"""Training on the live stream: batches go out as inputs with targets, losses come back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from direct_contact.client.output import Output
from direct_contact.client.tensors import Array, TensorLike, to_array
from foundation.errors import InternalError, InvalidInput

if TYPE_CHECKING:
    from direct_contact.client.session import Session


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """How a training stands after a step.

    Attributes:
        step: steps taken, of `steps`.
        steps: in all epochs together.
        epoch: from 1.
        loss: of this step's batch, from before the step.
        accuracy: the share of this step's batch that was right before the step; None where the
            targets are not classes.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    accuracy: float | None


OnProgress: TypeAlias = Callable[[TrainingProgress], None]


class Training:
    """One run over the data. Await it, or iterate over it, once.

    Args: see `Session.train`.
    """

    def __init__(
        self,
        session: Session,
        xs: TensorLike,
        targets: TensorLike,
        *,
        epochs: int,
        batch_size: int,
        seed: int | None,
        window: int,
        on_progress: OnProgress | None,
    ) -> None:
        for name, number in (("epochs", epochs), ("batch_size", batch_size), ("window", window)):
            if number < 1:
                raise InvalidInput(f"{name}: at least 1, got {number}", field=name)
        self._xs = _as_sent(xs)
        self._targets = _as_sent(targets)
        if not self._xs.ndim or not self._targets.ndim or len(self._xs) != len(self._targets):
            raise InvalidInput(
                f"targets: one for each of xs, got shapes {list(self._xs.shape)} and "
                f"{list(self._targets.shape)}",
                field="targets",
            )
        if not len(self._xs):
            raise InvalidInput("xs: at least 1 item, got 0", field="xs")
        self._session = session
        self._epochs = epochs
        self._batch_size = batch_size
        self._random = None if seed is None else np.random.default_rng(seed)
        self._window = window
        self._on_progress = on_progress
        self._steps_each = -(-len(self._xs) // batch_size)

    def __aiter__(self) -> AsyncIterator[TrainingProgress]:
        """One progress after every step."""
        return self._run()

    def __await__(self) -> Generator[Any, None, TrainingProgress]:
        """The progress after the last step."""
        return self._finish().__await__()

    async def _finish(self) -> TrainingProgress:
        last: TrainingProgress | None = None
        async for progress in self._run():
            last = progress
        if last is None:
            raise InternalError("a training without a step")
        return last

    async def _run(self) -> AsyncIterator[TrainingProgress]:
        if self._session.mode != "train":
            await self._session.command("train")
        steps = self._steps_each * self._epochs
        order: list[Array] = []
        answers = self._session.ask_many(self._batches(order), window=self._window)
        step = 0
        async for output in answers:
            step += 1
            progress = TrainingProgress(
                step=step,
                steps=steps,
                epoch=(step - 1) // self._steps_each + 1,
                loss=_loss(output),
                accuracy=_accuracy(output.whole(), order.pop(0)),
            )
            if self._on_progress is not None:
                self._on_progress(progress)
            yield progress

    def _batches(self, order: list[Array]) -> Iterator[tuple[Array, Array]]:
        items = np.arange(len(self._xs))
        for _ in range(self._epochs):
            if self._random is not None:
                self._random.shuffle(items)
            for start in range(0, len(items), self._batch_size):
                chosen = items[start : start + self._batch_size]
                targets = self._targets[chosen]
                order.append(targets)
                yield self._xs[chosen], targets


def _as_sent(values: TensorLike) -> Array:
    array = to_array(values)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _loss(output: Output) -> float:
    if output.loss is None:
        raise InternalError(f"the answer to input {output.seq} holds no loss: is it in training?")
    return output.loss


def _accuracy(outputs: Array, targets: Array) -> float | None:
    """The share of rows whose largest output is the target's class."""
    if outputs.ndim < 2 or outputs.shape[-1] < 2:
        return None
    if targets.dtype.kind in "iu" and targets.shape == outputs.shape[:-1]:
        classes = targets
    elif targets.shape == outputs.shape and _one_hot(targets):
        classes = targets.argmax(axis=-1)
    else:
        return None
    return float(np.mean(outputs.argmax(axis=-1) == classes))


def _one_hot(targets: Array) -> bool:
    return bool(
        np.all((targets == 0) | (targets == 1)) and np.all(np.count_nonzero(targets, axis=-1) == 1)
    )
