"""Drain of a gateway with every connection on it: when its clients come back, and who is refused.

The clients stream slowly through a proxy that knows both gateways. Meanwhile sessions on the other
gateway stream on, and new ones are opened one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import signal
from collections import Counter
from pathlib import Path

from benchmarks.pauses import Figures, command, milliseconds, streaming
from foundation.errors import DirectContactError
from launcher.supervisor import Role
from tests.chaos import stage as stages
from tests.chaos.oracle import SPEC
from tests.chaos.stage import NETWORK, Stage
from tests.support.conditions import until

BUCKET_S = 0.1


def listen_overflows() -> int:
    """Connections that this machine dropped because an accept queue was full, so far."""
    names, values = (
        line.split()[1:]
        for line in Path("/proc/net/netstat").read_text().splitlines()
        if line.startswith("TcpExt:")
    )
    return int(dict(zip(names, values, strict=True))["ListenOverflows"])


async def open_others(stage: Stage, opened: list[float], refused: list[str]) -> None:
    """Open and close sessions until cancelled."""
    now = asyncio.get_running_loop().time
    while True:
        began = now()
        try:
            async with stage.client.session(NETWORK) as session:
                await session.infer([0.0] * SPEC["input"]["shape"][0])
        except DirectContactError as error:
            refused.append(str(error))
        opened.append(now() - began)


async def measure(given: argparse.Namespace, directory: Path) -> Figures:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    now = asyncio.get_running_loop().time
    async with stages.raised(
        directory, workers=2, gateways=2, DC_GATEWAY_DRAIN_S=str(given.window)
    ) as stage:
        proxy = stage.proxy
        first, second = proxy.targets
        proxy.targets = [first]
        async with streaming(stage, given.sessions, rate=given.rate) as streams:
            proxy.targets = [second, first]
            gateway = stage.processes(Role.GATEWAY)[0]
            pid = gateway.pid
            opened: list[float] = []
            refused: list[str] = []
            overflows = listen_overflows()
            tried = proxy.accepted
            began = now()
            for stream in streams:
                stream.watch_gaps()
            others = asyncio.create_task(open_others(stage, opened, refused))
            stage.signal(gateway, signal.SIGTERM)
            await until(lambda: all(s.session.stats.reconnects >= 1 for s in streams), timeout_s=60)
            others.cancel()
            await asyncio.wait({others})
            await stage.replaced(gateway, pid)
            back = sorted(c.opened_at - began for c in proxy.connections if c.opened_at > began)
            buckets = Counter(int(at / BUCKET_S) for at in back)
            tried = proxy.accepted - tried - len(opened)
            twice = sum(s.session.stats.reconnects > 1 for s in streams)
    return {
        "clients are back after": milliseconds(back),
        "their longest gap": milliseconds([stream.gap_s for stream in streams]),
        "new sessions, open to answer": {**milliseconds(opened), "refused": len(refused)},
        "reconnects": {
            "count": tried,
            "most in 0.1 s": max(buckets.values()),
            "twice": twice,
            "overflows": listen_overflows() - overflows,
        },
    }


if __name__ == "__main__":
    command("gateway_drain", __doc__, measure, sessions=1000, rate=0.5, window=5.0)
