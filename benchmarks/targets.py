"""What can be put under load: the reference servers, and stacks of ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import foundation
from benchmarks.load.plan import Door
from benchmarks.load.rest import door_of
from benchmarks.references.computing import SPEC_VARIABLE
from direct_contact.client.rest import RestConnection
from foundation.errors import Conflict
from foundation.modules import modules
from launcher.embedded.cores import usable_cores
from launcher.embedded.nats import nats_answers, nats_command, nats_cores, nats_environment
from launcher.embedded.ports import LOOPBACK, free_port
from launcher.embedded.tether import tethered
from launcher.supervisor import Line, Role, Stack, StackOptions, running
from launcher.supervisor.options import MODULES

ROOT = Path(__file__).parents[1]
OUR_MODULES = {
    "PYTHONPATH": f"{Path(foundation.__file__).parents[1]}{os.pathsep}{ROOT}",
    "PYTHONSAFEPATH": "1",
}
"""Where a stack of ours finds the modules that this process runs, compiled or not. The references
and the load generator always run those of the clone: they are what ours is measured with."""
START_TIMEOUT_S = 30.0
OPEN_AT_ONCE = 16
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""As our workers do. With more threads than cores, those of BLAS spin: 3 to 10 times slower."""


class StartFailed(Exception):
    """A server did not start."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something that answers inputs."""

    name: str
    processes: Callable[[], Mapping[str, int]]
    """The pids of everything that works for an answer, by role."""
    doors: Callable[[int], Awaitable[Sequence[Door]]]
    """Where that many sessions are had."""


# ---------------------------------------------------------------- references


@contextlib.asynccontextmanager
async def started(
    command: Sequence[str], environment: Mapping[str, str]
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A reference server, as (process, port); stopped at the end."""
    process = await asyncio.create_subprocess_exec(
        *tethered(command),
        env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT), **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_TIMEOUT_S):
            line = await process.stdout.readline()
        if not line:
            raise StartFailed(f"{' '.join(command)} ended before it listened")
        yield process, int(json.loads(line)["port"])
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(5.0):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


@contextlib.asynccontextmanager
async def python_server(
    name: str, module: str, *arguments: str, spec: Mapping[str, Any]
) -> AsyncIterator[Target]:
    """A reference that is one process and one WebSocket for each session."""
    command = [sys.executable, "-m", f"benchmarks.references.{module}", *arguments]
    async with started(command, {SPEC_VARIABLE: json.dumps(spec)}) as (process, port):
        yield Target(name, lambda: {"server": process.pid}, same_door(Door(LOOPBACK, port)))


def same_door(door: Door) -> Callable[[int], Awaitable[Sequence[Door]]]:
    """Every session is had in the same way."""

    async def doors(sessions: int) -> Sequence[Door]:
        return [door] * sessions

    return doors


@contextlib.asynccontextmanager
async def nats_server(directory: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A NATS server of its own, as (process, port); started as ours is."""
    port = free_port(LOOPBACK)
    cores = nats_cores(usable_cores())
    process = await asyncio.create_subprocess_exec(
        *tethered(nats_command(directory, port), cores=cores),
        env={**os.environ, **nats_environment(cores)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await nats_answers(LOOPBACK, port):  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.02)
        yield process, port
    finally:
        process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def nats_request_reply(directory: Path) -> AsyncIterator[Target]:
    """(b): the same bytes back over bare NATS, one connection for each session."""
    async with nats_server(directory / "nats-reply") as (server, port):
        environment = {"BENCHMARK_NATS_URL": f"nats://{LOOPBACK}:{port}"}
        command = [sys.executable, "-m", "benchmarks.references.nats_responder"]
        async with started(command, environment) as (responder, _):
            yield Target(
                "NATS request/reply",
                lambda: {"nats": server.pid, "responder": responder.pid},
                same_door(Door(LOOPBACK, port, wire="nats", path="bench.echo")),
            )


@contextlib.asynccontextmanager
async def chain(
    directory: Path, *, spec: Mapping[str, Any], workers: int = 1
) -> AsyncIterator[Target]:
    """(c): the hand-made chain WebSocket, NATS, worker, and back."""
    async with contextlib.AsyncExitStack() as opened:
        server, nats_port = await opened.enter_async_context(nats_server(directory / "nats-chain"))
        environment = {
            "BENCHMARK_NATS_URL": f"nats://{LOOPBACK}:{nats_port}",
            SPEC_VARIABLE: json.dumps(spec),
        }
        pids = {"nats": server.pid}
        for number in range(workers):
            command = [sys.executable, "-m", "benchmarks.references.chain_worker"]
            process, _ = await opened.enter_async_context(started(command, environment))
            pids["worker" if workers == 1 else f"worker-{number + 1}"] = process.pid
        command = [sys.executable, "-m", "benchmarks.references.chain_gateway"]
        gateway, port = await opened.enter_async_context(started(command, environment))
        pids["gateway"] = gateway.pid
        yield Target("chain", lambda: pids, same_door(Door(LOOPBACK, port)))


# ---------------------------------------------------------------- ours

ROLES = {
    Role.NATS: "nats",
    Role.REDIS: "redis",
    Role.REST_API: "rest",
    Role.GATEWAY: "gateway",
    Role.WORKER: "worker",
}


@dataclass(slots=True)
class Ours:
    """A stack of ours, with the REST calls that a benchmark needs."""

    stack: Stack
    rest: RestConnection
    lines: list[str] = field(default_factory=list)
    """What its processes warned of."""

    def processes(self) -> dict[str, int]:
        """The pids by role; several of a role are numbered."""
        found: dict[str, int] = {}
        for process in self.stack.processes:
            if process.pid is None:
                continue
            role = ROLES[process.role]
            number = 1
            while (name := role if number == 1 else f"{role}-{number}") in found:
                number += 1
            found[name] = process.pid
        return found

    async def add_network(self, spec: Mapping[str, Any]) -> None:
        """Create a network, unless it is there."""
        with contextlib.suppress(Conflict):
            await self.rest.json("POST", "networks", body=dict(spec), idempotent=False)

    async def session(self, network: str, config: Mapping[str, Any]) -> Door:
        """Create a session."""
        body = {"network": network, "config": dict(config)}
        opened = await self.rest.json("POST", "sessions", body=body, idempotent=False)
        return door_of(opened["stream"])

    def target(self, name: str, network: str, **config: Any) -> Target:
        """Sessions of a network, opened anew for each measurement."""

        async def doors(sessions: int) -> Sequence[Door]:
            gate = asyncio.Semaphore(OPEN_AT_ONCE)

            async def one() -> Door:
                async with gate:
                    return await self.session(network, config)

            return await asyncio.gather(*(one() for _ in range(sessions)))

        return Target(name, self.processes, doors)


def check_modules(data_dir: Path) -> None:
    """The services of a stack run the modules that this process has.

    Raises:
        StartFailed: one of them does not.
    """
    for ready_file in (data_dir / "run").glob("*.json"):
        told = json.loads(ready_file.read_text())["modules"]
        if told != modules():
            raise StartFailed(f"{ready_file.stem} runs {told} modules, not {modules()} ones")


@contextlib.asynccontextmanager
async def ours(
    directory: Path,
    *specs: Mapping[str, Any],
    workers: int = 1,
    worker_module: str = MODULES[Role.WORKER],
) -> AsyncIterator[Ours]:
    """A stack of ours with these networks, as `direct-contact up` starts it, without `DC_*`.

    Args:
        directory: of its own, empty.
        specs: layer specs.
        workers: how many.
        worker_module: what runs as a worker.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DC_")}
    options = StackOptions(
        data_dir=directory,
        port=0,
        stream_port=0,
        workers=workers,
        log_level="WARNING",
        environment={**inherited, **OUR_MODULES},
        modules={**MODULES, Role.WORKER: worker_module},
    )
    lines: list[str] = []

    def output(line: Line) -> None:
        if len(lines) < 200:
            lines.append(line.text)

    async with running(options, output) as stack:
        check_modules(directory)
        rest = RestConnection(stack.rest_url, stack.api_key)
        try:
            found = Ours(stack, rest, lines)
            for spec in specs:
                await found.add_network(spec)
            yield found
        finally:
            await rest.close()
