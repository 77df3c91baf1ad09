"""Step 3: eight sessions at once answer what they never saw."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import numpy as np
import numpy.typing as npt

from direct_contact.client import Client, Network, Output, Session
from launcher.demo.failing import NotAsPromised
from launcher.demo.screen import Screen
from launcher.demo.splitting import Digits
from launcher.demo.streaming import Pair, stream
from launcher.demo.traffic import Traffic

TITLE = "Eight sessions at once, over all workers"
SESSIONS = 8
LEAST_ACCURACY = 0.95
_DRAWN = 5


async def answer(
    client: Client,
    network: Network,
    version: int,
    digits: Digits,
    screen: Screen,
    traffic: Traffic,
    *,
    workers: int = 2,
) -> float:
    """Stream the held-out digits through eight sessions; the accuracy over all of them.

    Raises:
        NotAsPromised: too many wrong answers, or a worker without a session.
    """
    answers = np.full((SESSIONS, len(digits)), -1)
    traffic.sessions = SESSIONS
    async with contextlib.AsyncExitStack() as opened:
        # One after the other: each placement sees the load of those before.
        sessions = [
            await opened.enter_async_context(client.session(network.name, version=version))
            for _ in range(SESSIONS)
        ]
        with traffic:
            async with asyncio.TaskGroup() as tasks:
                for session, row in zip(sessions, answers, strict=True):
                    tasks.create_task(_classify(session, digits, row, traffic))
        traffic.workers.update(session.worker for session in sessions)
    accuracy = float(np.mean(answers == digits.labels))
    _draw(screen, digits, answers[0])
    screen.say(
        f"{answers.size:,} answers over {len(traffic.workers)} workers, {accuracy:.1%} are right"
    )
    if accuracy < LEAST_ACCURACY:
        raise NotAsPromised(f"accuracy {accuracy:.3f}, at least {LEAST_ACCURACY} is needed")
    if len(traffic.workers) < min(workers, SESSIONS):
        raise NotAsPromised(f"all sessions ran on {traffic.workers} of {workers} workers")
    return accuracy


async def _classify(
    session: Session, digits: Digits, row: npt.NDArray[np.int64], traffic: Traffic
) -> None:
    def take(output: Output) -> None:
        row[output.seq - 1] = int(output.array.argmax())

    await stream(session, _each(digits), take, traffic)


async def _each(digits: Digits) -> AsyncIterator[Pair]:
    for image in digits.images:
        yield image, None


def _draw(screen: Screen, digits: Digits, answers: npt.NDArray[np.int64]) -> None:
    # One that it got wrong is worth a look; the others come from the front.
    wrong = np.flatnonzero(answers != digits.labels)[:1].tolist()
    shown = [*wrong, *(i for i in range(len(digits)) if i not in wrong)][:_DRAWN]
    screen.digits(
        [digits.images[i] for i in shown],
        [_caption(int(answers[i]), int(digits.labels[i])) for i in shown],
    )


def _caption(answer: int, label: int) -> str:
    return f"says {answer}" if answer == label else f"says {answer}, is {label}"
