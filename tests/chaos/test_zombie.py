"""A worker that is frozen for longer than its lease and then wakes up."""

from __future__ import annotations

import signal
from pathlib import Path

from launcher.supervisor import Role
from tests.chaos import stage as stages
from tests.chaos.stage import NETWORK
from tests.chaos.streams import Stream
from tests.support.conditions import until
from tests.support.launched import metric


async def test_zombie_is_not_heard_and_lets_go_when_it_wakes_up(tmp_path: Path) -> None:
    async with stages.raised(
        tmp_path,
        workers=2,
        gateways=1,
        DC_WORKER_LEASE_MS="600",
        DC_GATEWAY_WORKER_SILENCE_S="0.6",
    ) as stage:
        cell = await stages.add_network(stage)
        # `ahead` keeps inputs under way: the zombie has some to answer when it wakes up.
        streams = [
            Stream(stage.client, NETWORK, cell, seed=seed, rate=100, ahead=16) for seed in range(4)
        ]
        for stream in streams:
            await stream.open()
        await until(lambda: all(stream.handled > 50 for stream in streams))
        held = {worker.name: worker.sessions for worker in await stage.client.workers()}
        victim = max(stage.processes(Role.WORKER), key=lambda process: held.get(process.name, 0))
        probe_port = stage.service(victim.label)["probe_port"]
        stage.signal(victim, signal.SIGSTOP)
        try:
            marks = [stream.tally.sent for stream in streams]
            await until(
                lambda: all(s.handled > mark for s, mark in zip(streams, marks, strict=True))
            )
        finally:
            stage.signal(victim, signal.SIGCONT)

        def dropped() -> bool:
            return metric(probe_port, "dc_worker_sessions") == 0

        await until(dropped)
        marks = [stream.tally.sent for stream in streams]
        await until(lambda: all(s.handled > mark for s, mark in zip(streams, marks, strict=True)))
        for stream in streams:
            await stream.finish()
        assert [problem for stream in streams for problem in stream.tally.violations] == []
