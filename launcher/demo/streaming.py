"""One session's stream: inputs go out, outputs come in, and none is missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from direct_contact.client import Output, Session
from launcher.demo.failing import NotAsPromised
from launcher.demo.traffic import Traffic

Pair = tuple[npt.NDArray[np.float32], npt.NDArray[Any] | None]
"""An input, and its target in training."""


async def stream(
    session: Session,
    pairs: AsyncIterable[Pair],
    take: Callable[[Output], None],
    traffic: Traffic,
    *,
    in_flight: int = 8,
) -> None:
    """Send every pair of a new session and take every output, in order, until each has its own.

    At most `in_flight` inputs wait for their outputs: more would measure our own queue.

    Raises:
        NotAsPromised: an output is missing, repeated or out of order.
        DirectContactError: an input was answered with an error.
    """
    sent = received = 0
    all_sent = asyncio.Event()
    room = asyncio.Semaphore(in_flight)

    async def send() -> None:
        nonlocal sent
        async for x, target in pairs:
            await room.acquire()
            await session.send(x, target=target)
            sent += 1
        all_sent.set()
        if received == sent:
            reading.cancel()

    async def receive() -> None:
        nonlocal received
        async for output in session:
            if output.seq != received + 1:
                raise NotAsPromised(
                    f"session {session.id}: after output {received} came {output.seq}"
                )
            if output.error is not None:
                raise output.error
            received += 1
            room.release()
            traffic.latencies_s.append(output.latency_s)
            take(output)
            if all_sent.is_set() and received == sent:
                return

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(receive(), name="receive")
        tasks.create_task(send(), name="send")
    if received != sent:
        raise NotAsPromised(f"session {session.id}: {sent} inputs, {received} outputs")
