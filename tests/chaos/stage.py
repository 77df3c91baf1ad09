"""The real processes of one stack, a proxy before its gateways, and hands on all of them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from direct_contact.client import Client
from launcher.supervisor import Line, Role, Stack, StackOptions, running
from launcher.supervisor.process import SupervisedProcess
from tests.chaos.oracle import SPEC, Cell, with_long_memory
from tests.support.conditions import until
from tests.support.proxy import TcpProxy

POOL = "default"
NETWORK = "chaos"
LEASE_MS = 2000
"""A worker's lease by default."""
RESTART_LONGEST_S = 0.4
"""Faults come faster than any operator's supervisor would expect: it must not back off for long."""
BACK_S = 60.0
"""A process that is not ready again by then is a failure of the stack."""


@dataclass
class Stage:
    """A running stack and what the faults need of it."""

    stack: Stack
    proxy: TcpProxy
    client: Client
    workers: int
    lease_s: float

    # ------------------------------------------------------------ processes

    def processes(self, role: Role) -> list[SupervisedProcess]:
        """Those of a role that run now, by label; draining ones are left out."""
        found = [p for p in self.stack.processes if p.role is role and p.pid and not p.draining]
        return sorted(found, key=lambda process: process.label)

    def signal(self, process: SupervisedProcess, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process has just ended."""
        if process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)

    def pid_of(self, name: str) -> int:
        """The pid of the process that calls itself `name`."""
        return next(p.pid for p in self.stack.processes if p.name == name and p.pid is not None)

    def service(self, label: str) -> dict[str, Any]:
        """What the service of this label said when it was ready: its ports, its pid."""
        said: dict[str, Any] = json.loads((self.stack.data.run / f"{label}.json").read_text())
        return said

    async def ready(self) -> None:
        """Return when every process that is wanted is ready."""
        await until(
            lambda: all(process.ready for process in self.stack.processes), timeout_s=BACK_S
        )

    async def replaced(self, process: SupervisedProcess, pid: int | None) -> None:
        """Return when another process runs in the place of the one with `pid`, and is ready."""
        await until(lambda: process.pid not in (None, pid) and process.ready, timeout_s=BACK_S)

    # ------------------------------------------------------------ Redis

    def empty_redis(self) -> None:
        """Kill Redis, and its data with it; the supervisor starts an empty one."""
        running = self.processes(Role.REDIS)
        if not running:
            return
        (redis,) = running
        # Frozen first: what it still writes goes to files that are deleted already.
        self.signal(redis, signal.SIGSTOP)
        shutil.rmtree(self.stack.data.redis, ignore_errors=True)
        self.stack.data.redis.mkdir()
        self.signal(redis, signal.SIGKILL)


@asynccontextmanager
async def raised(
    directory: Path, *, workers: int, gateways: int, **environment: str
) -> AsyncIterator[Stage]:
    """A stage with everything ready; stopped in order after. Its log is `directory`/log.

    Args:
        directory: for the stack's data and its log.
        workers: at the start.
        gateways: all behind one proxy.
        environment: settings of the services, such as ``DC_WORKER_LEASE_MS``.
    """
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  # nothing else runs yet
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DC_")}
    async with contextlib.AsyncExitStack() as opened:
        log = opened.enter_context((directory / "log").open("a", buffering=1))

        def output(line: Line) -> None:
            log.write(f"{line.label} {line.raw}\n")

        proxy = await opened.enter_async_context(TcpProxy())
        options = StackOptions(
            data_dir=directory / "data",
            port=0,
            stream_port=0,
            gateways=gateways,
            workers=workers,
            restart_longest_s=RESTART_LONGEST_S,
            environment={
                **inherited,
                "DC_REST_STREAM_URL": f"ws://127.0.0.1:{proxy.port}/v1/stream",
                **environment,
            },
        )
        stack = await opened.enter_async_context(running(options, output))
        proxy.targets = [("127.0.0.1", port) for port in stack.ports.stream]
        client = await opened.enter_async_context(Client(stack.rest_url, stack.api_key))
        lease_s = int(environment.get("DC_WORKER_LEASE_MS", LEASE_MS)) / 1000
        yield Stage(stack, proxy, client, workers, lease_s)


async def add_network(stage: Stage) -> Cell:
    """Create the network with a long memory; returns the oracle's cell, from what REST gives."""
    await stage.client.create_network(SPEC)
    fresh = await stage.client.get_weights(NETWORK, 1)
    version = await stage.client.put_weights(NETWORK, 1, with_long_memory(fresh), promote=True)
    return Cell(await stage.client.get_weights(NETWORK, version.version))
