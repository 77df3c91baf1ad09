"""Step 2: the network learns on the live stream of one session."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

import numpy as np

from direct_contact.client import Client, Network, Output
from launcher.demo.screen import Screen
from launcher.demo.splitting import Digits
from launcher.demo.streaming import Pair, stream
from launcher.demo.traffic import Traffic

TITLE = "Training on a live stream"
ROUNDS = 20
BATCH = 32
_SHOWN_OVER = 30
"""Loss and accuracy are means over this many batches."""
_SEED = 1


async def train(
    client: Client, network: Network, digits: Digits, screen: Screen, traffic: Traffic
) -> int:
    """Send the digits in small batches, each an optimization step; the new version's number."""
    batches = _batches(digits)
    losses: deque[float] = deque(maxlen=_SHOWN_OVER)
    hits: deque[float] = deque(maxlen=_SHOWN_OVER)
    traffic.sessions = 1
    async with client.session(network.name, version=network.version, mode="train") as session:
        with screen.bar(len(batches)) as bar, traffic:

            def take(output: Output) -> None:
                chosen = batches[output.seq - 1]
                losses.append(output.loss or 0.0)
                hits.append(float(np.mean(output.array.argmax(axis=-1) == digits.labels[chosen])))
                bar.update(output.seq, f"loss {np.mean(losses):.3f}   accuracy {np.mean(hits):.1%}")

            await stream(session, _pairs(digits, batches), take, traffic)
        traffic.workers.add(session.worker)
        version = await session.snapshot()
    screen.say(
        f"{len(batches)} steps; loss {np.mean(losses):.3f}, accuracy {np.mean(hits):.1%} on what "
        f"it learns from; kept as version {version}"
    )
    return version


def _batches(digits: Digits) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    shuffle = np.random.default_rng(_SEED)
    return [
        order[start : start + BATCH]
        for order in (shuffle.permutation(len(digits)) for _ in range(ROUNDS))
        for start in range(0, len(order), BATCH)
    ]


async def _pairs(
    digits: Digits, batches: list[np.ndarray[tuple[int], np.dtype[np.int64]]]
) -> AsyncIterator[Pair]:
    for chosen in batches:
        yield digits.images[chosen], digits.labels[chosen]
