"""Step 4: recurrent sessions stream on while workers come and go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load

from direct_contact.client import Client, Output, Session
from launcher.demo.creating import create
from launcher.demo.failing import NotAsPromised
from launcher.demo.networks import FEATURES, RECURRENT
from launcher.demo.placement import scale_to
from launcher.demo.recurrence import run_gru
from launcher.demo.screen import Screen
from launcher.demo.streaming import Pair, stream
from launcher.demo.traffic import Traffic

TITLE = "Scaling under running streams"
SESSIONS = 4
MOST_SESSIONS = 12
UP, DOWN = 4, 1
STEPS_BETWEEN = 100
"""Outputs of the first session before, between and after the two scalings."""
PACE_S = 0.005
"""Between two inputs, as of a sensor with 200 Hz."""
CLOSE = 1e-5
"""Rounding of float32, which batches of different sizes do differently."""


@dataclass(slots=True)
class _Sequence:
    """One session's sequence: what it sent, what came back."""

    session: Session
    seed: int
    worker: str
    inputs: list[npt.NDArray[np.float32]] = field(default_factory=list)
    outputs: list[npt.NDArray[np.float32]] = field(default_factory=list)

    async def pairs(self, enough: asyncio.Event) -> AsyncIterator[Pair]:
        random = np.random.default_rng(self.seed)
        while not enough.is_set():
            x = random.standard_normal(FEATURES, dtype=np.float32)
            self.inputs.append(x)
            yield x, None
            await asyncio.sleep(PACE_S)

    def take(self, output: Output) -> None:
        self.outputs.append(output.array)


async def scale_while_streaming(
    client: Client, screen: Screen, traffic: Traffic, *, workers: int = 2
) -> float:
    """Stream, scale up and down, compare with the same in one piece; the largest difference.

    Raises:
        NotAsPromised: an output is missing or different, or nothing moved.
    """
    network = await create(client, RECURRENT)
    weights = load(await client.get_weights(network.name, network.version))
    gru = {name.removeprefix("layers.0."): array for name, array in weights.items()}
    async with contextlib.AsyncExitStack() as opened:
        sequences = await _open(client, opened, network.name, workers)
        traffic.sessions = len(sequences)
        traffic.workers.update(sequence.worker for sequence in sequences)
        with traffic:
            await _stream_and_scale(client, sequences, screen, traffic)
        after = [sequence.session.worker for sequence in sequences]
    traffic.workers.update(after)
    moved = sum(
        sequence.worker != worker for sequence, worker in zip(sequences, after, strict=True)
    )
    largest = max(
        float(np.abs(np.array(s.outputs) - run_gru(gru, np.array(s.inputs))).max())
        for s in sequences
    )
    steps = sum(len(sequence.outputs) for sequence in sequences)
    screen.say(
        f"{steps:,} steps of {len(sequences)} sequences without a gap; sessions that moved: "
        f"{moved}; largest difference to the same in one piece: {largest:.1e}"
    )
    if not largest <= CLOSE:
        raise NotAsPromised(f"outputs differ by {largest:.1e}, at most {CLOSE:.0e} is rounding")
    if moved == 0:
        raise NotAsPromised(f"no session moved, though {DOWN} worker is left")
    return largest


async def _open(
    client: Client, opened: contextlib.AsyncExitStack, name: str, workers: int
) -> list[_Sequence]:
    """Open sessions, until every worker has one: then scaling down has to move some."""
    sequences: list[_Sequence] = []
    while len(sequences) < SESSIONS or len({s.worker for s in sequences}) < workers:
        if len(sequences) == MOST_SESSIONS:
            raise NotAsPromised(f"{MOST_SESSIONS} sessions, and not all {workers} workers have one")
        session = await opened.enter_async_context(client.session(name))
        sequences.append(_Sequence(session, len(sequences), session.worker))
    return sequences


async def _stream_and_scale(
    client: Client, sequences: list[_Sequence], screen: Screen, traffic: Traffic
) -> None:
    enough = asyncio.Event()
    first = sequences[0]

    async def further() -> None:
        goal = len(first.outputs) + STEPS_BETWEEN
        # The event would have to be set for every output; a look each step is cheaper.
        while len(first.outputs) < goal:  # noqa: ASYNC110
            await asyncio.sleep(PACE_S)

    async def scale() -> None:
        for replicas in (UP, DOWN):
            await further()
            screen.say(f"after {len(first.outputs)} steps: scaling to {replicas}")
            await scale_to(client, replicas)
        await further()
        enough.set()

    async with asyncio.TaskGroup() as tasks:
        for sequence in sequences:
            tasks.create_task(
                stream(sequence.session, sequence.pairs(enough), sequence.take, traffic)
            )
        tasks.create_task(scale(), name="scale")
