"""Sessions that stream straight to their workers, while these die, freeze and drain."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from launcher.supervisor import Role
from launcher.supervisor.process import SupervisedProcess
from tests.chaos import stage as stages
from tests.chaos.stage import NETWORK, Stage
from tests.chaos.streams import Stream
from tests.support.conditions import until
from tests.support.launched import metric


@asynccontextmanager
async def streaming(directory: Path) -> AsyncIterator[tuple[Stage, list[Stream]]]:
    """Four direct sessions under load on two workers, checked to the last answer at the end."""
    async with stages.raised(
        directory,
        workers=2,
        gateways=1,
        DC_WORKER_LEASE_MS="600",
        DC_GATEWAY_WORKER_SILENCE_S="0.6",
        # Only a direct session's client can notice that its worker is frozen.
        DC_GATEWAY_PING_INTERVAL_S="0.5",
    ) as stage:
        cell = await stages.add_network(stage)
        streams = [
            Stream(
                stage.client,
                NETWORK,
                cell,
                seed=seed,
                rate=100,
                ahead=16,
                config={"route": "direct"},
            )
            for seed in range(4)
        ]
        for stream in streams:
            await stream.open()
        await until(lambda: all(stream.handled > 50 for stream in streams))
        yield stage, streams
        await going_on(streams)
        for stream in streams:
            await stream.finish()
        assert [problem for stream in streams for problem in stream.tally.violations] == []


async def going_on(streams: list[Stream]) -> None:
    """Return when every session has had answers to what it sends from now on."""
    marks = [stream.tally.sent for stream in streams]
    await until(
        lambda: all(s.handled > mark for s, mark in zip(streams, marks, strict=True)),
        timeout_s=30,
    )


def served_by(stage: Stage, streams: list[Stream]) -> tuple[SupervisedProcess, list[Stream]]:
    """The worker of the first session, and all sessions that stream to it."""
    name = streams[0].session.worker
    worker = next(p for p in stage.processes(Role.WORKER) if p.name == name)
    return worker, [stream for stream in streams if stream.session.worker == name]


async def test_sessions_stream_past_the_gateway_when_their_route_is_direct(tmp_path: Path) -> None:
    async with streaming(tmp_path) as (stage, _):
        (gateway,) = stage.processes(Role.GATEWAY)
        port = stage.service(gateway.label)["probe_port"]
        assert metric(port, "dc_gateway_streams_accepted_total") == 0


async def test_sessions_go_on_through_the_gateway_when_their_worker_is_killed(
    tmp_path: Path,
) -> None:
    async with streaming(tmp_path) as (stage, streams):
        worker, victims = served_by(stage, streams)
        epochs = [stream.session.epoch for stream in victims]
        stage.signal(worker, signal.SIGKILL)
        await going_on(streams)
        for stream, epoch in zip(victims, epochs, strict=True):
            assert stream.session.stats.reconnects == 1
            assert stream.session.epoch > epoch
        assert stage.proxy.connections, "they came through the gateways' address"


async def test_zombie_is_not_heard_when_it_wakes_up_with_its_sockets(tmp_path: Path) -> None:
    async with streaming(tmp_path) as (stage, streams):
        worker, victims = served_by(stage, streams)
        probe_port = stage.service(worker.label)["probe_port"]
        stage.signal(worker, signal.SIGSTOP)
        try:
            await going_on(streams)
        finally:
            stage.signal(worker, signal.SIGCONT)
        await until(lambda: metric(probe_port, "dc_worker_sessions") == 0)
        await until(lambda: metric(probe_port, "dc_gateway_streams") == 0)
        for stream in victims:
            assert stream.session.worker != worker.name


async def test_sessions_leave_in_order_when_their_worker_drains(tmp_path: Path) -> None:
    async with streaming(tmp_path) as (stage, streams):
        worker, victims = served_by(stage, streams)
        pid = worker.pid
        stage.signal(worker, signal.SIGTERM)
        await stage.replaced(worker, pid)
        await going_on(streams)
        for stream in victims:
            assert stream.session.stats.reconnects == 1


async def test_sessions_move_on_their_sockets_when_they_are_migrated(tmp_path: Path) -> None:
    async with streaming(tmp_path) as (stage, streams):
        home, (stream, *_) = served_by(stage, streams)
        target = next(p for p in stage.processes(Role.WORKER) if p is not home)
        await stream.session.command("migrate", worker=target.name)
        await until(lambda: stream.session.worker == target.name)
        await going_on(streams)
        assert stream.session.stats.reconnects == 0
