"""Resume: from the new connection after a lost link to the next output on it.

One link after the other is reset in a proxy before the gateway. The client's own wait before it
dials again (full jitter below 50 ms the first time) is told apart: it is a choice, not a cost.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from benchmarks.pauses import Figures, command, milliseconds, progressed, streaming
from tests.chaos import stage as stages
from tests.chaos.streams import Stream
from tests.support.conditions import until
from tests.support.proxy import TcpProxy


async def measure(given: argparse.Namespace, directory: Path) -> Figures:
    resumed: list[float] = []
    whole: list[float] = []
    now = asyncio.get_running_loop().time
    async with (
        stages.raised(directory, workers=1, gateways=1) as stage,
        streaming(stage, given.sessions, rate=given.rate) as streams,
    ):
        for _ in range(given.rounds):
            await progressed(streams)
            cut_at = now()
            opened_at, first_at = await cut_one(stage.proxy, streams)
            resumed.append(first_at - opened_at)
            whole.append(first_at - cut_at)
    return {
        "new connection to next output": milliseconds(resumed),
        "cut to next output, with jitter": milliseconds(whole),
    }


async def cut_one(proxy: TcpProxy, streams: Sequence[Stream]) -> tuple[float, float]:
    """Reset the oldest link; returns when the next one was made and its first output came."""
    before = {stream: stream.session.stats.reconnects for stream in streams}
    links = set(proxy.connections)
    proxy.connections[0].cut()
    await until(lambda: any(s.session.stats.reconnects > before[s] for s in streams))
    stream = next(s for s in streams if s.session.stats.reconnects > before[s])
    (link,) = set(proxy.connections) - links
    await until(lambda: stream.answered_at > link.opened_at)
    return link.opened_at, stream.first_after(link.opened_at)


if __name__ == "__main__":
    command("resume", __doc__, measure, sessions=32, rate=50.0, rounds=300)
