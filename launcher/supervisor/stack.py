"""The stack of one machine: started in one go, kept running, stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

from foundation.errors import DirectContactError, InvalidInput, NotFound, Unauthenticated
from launcher.rest import Rest
from launcher.supervisor.actuator import actuate, on_nats
from launcher.supervisor.backoff import Backoff
from launcher.supervisor.commands import POOL, Commands
from launcher.supervisor.datadir import DataDir
from launcher.supervisor.fleet import Fleet
from launcher.supervisor.logs import Output, note
from launcher.supervisor.options import Ports, Role, StackOptions, decide_ports
from launcher.supervisor.process import Launch, SupervisedProcess
from launcher.supervisor.ready_files import ReadyFiles
from launcher.supervisor.servers import await_nats, await_redis
from launcher.supervisor.turns import Turns

WORKERS_BY_DEFAULT = 2

GRACE_S = {Role.GATEWAY: 10.0, Role.WORKER: 30.0, Role.REST_API: 10.0}
"""What a process gets for its drain before it is killed."""
SERVER_GRACE_S = 10.0


class Stack:
    """One stack. `run` is its whole life; `running` wraps it for a body.

    Its data directory must be locked by the caller while it runs.
    """

    def __init__(
        self,
        options: StackOptions,
        data: DataDir,
        output: Output,
        *,
        on_ready: Callable[[Stack], None] = lambda _stack: None,
    ) -> None:
        self.options = options
        self.data = data
        self.ports: Ports = decide_ports(options)
        given = options.environment.get("DC_REST_ADMIN_KEY")
        self.api_key, self.key_is_new = (given, False) if given else data.api_key()
        self.ready = asyncio.Event()
        self._output = output
        self._ready_files = ReadyFiles(
            data.ready_file, options.ready_file, describe=self.description, output=output
        )
        self._on_ready = on_ready
        self._commands = Commands(options, self.ports, data, self.api_key)
        self._commands.check_binaries()
        self._servers: list[SupervisedProcess] = []
        self._rest: list[SupervisedProcess] = []
        self._gateways: list[SupervisedProcess] = []
        self._fleet: Fleet | None = None
        self._stop = asyncio.Event()
        self._kill = asyncio.Event()
        self._records_are_new = not options.database_url and not data.records.exists()

    @property
    def rest_url(self) -> str:
        """Where REST answers."""
        return self._commands.rest_url

    @property
    def stream_url(self) -> str:
        """Where the first gateway takes WebSockets."""
        return self._commands.stream_url

    @property
    def processes(self) -> list[SupervisedProcess]:
        """All processes that should run or are draining, in the order of their start."""
        fleet = self._fleet
        workers = [*fleet.workers, *fleet.leaving] if fleet is not None else []
        return [*self._servers, *self._rest, *self._gateways, *workers]

    def description(self) -> dict[str, Any]:
        """What the ready files say."""
        return {
            "rest_url": self.rest_url,
            "stream_url": self.stream_url,
            "api_key": self.api_key,
            "data_dir": str(self.data.path),
            "processes": [
                {"role": str(process.role), "name": process.name, "pid": process.pid}
                for process in self.processes
                if process.pid is not None
            ],
        }

    def request_stop(self) -> None:
        """Stop in order; a second request kills what is left."""
        if self._stop.is_set():
            self._kill.set()
        else:
            self._output(note("stopping in order; a second Ctrl-C stops at once"))
            self._stop.set()

    async def run(self) -> None:
        """Start everything, set `ready`, and keep it running until a stop is requested.

        Cancelled: everything is killed.

        Raises:
            StartFailed, Unavailable: a process does not get ready; everything is stopped again.
        """
        failure: DirectContactError | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                starting = tasks.create_task(self._start(tasks), name="start")
                stopping = tasks.create_task(self._stop.wait(), name="stop")
                await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
                actuator: asyncio.Task[None] | None = None
                if starting.done():
                    failure = starting.result()
                    if failure is None:
                        actuator = tasks.create_task(self._actuate(), name="actuator")
                        self._announce()
                        await self._stop.wait()
                self._stop.set()
                starting.cancel()
                if actuator is not None:
                    actuator.cancel()
                await self._stop_all()
        finally:
            self._ready_files.remove()
        if failure is not None:
            raise failure

    # ------------------------------------------------------------------------------ start

    async def _start(self, tasks: asyncio.TaskGroup) -> DirectContactError | None:
        try:
            await self._start_all(tasks)
        except DirectContactError as error:
            return error
        return None

    async def _start_all(self, tasks: asyncio.TaskGroup) -> None:
        options, commands = self.options, self._commands
        self._ready_files.prepare()
        if not options.nats_url:
            self._servers.append(self._process(Role.NATS, "nats", commands.nats))
        if not options.redis_url:
            self._servers.append(self._process(Role.REDIS, "redis", commands.redis))
        for server in self._servers:
            tasks.create_task(server.run(), name=server.label)
        if options.nats_url:
            await await_nats(options.nats_url, self._output)
        if options.redis_url:
            await await_redis(options.redis_url, self._output)
        # The services take longer to load than the servers to listen: nobody waits here.
        wanted = options.workers
        if wanted is None and self._records_are_new:
            wanted = WORKERS_BY_DEFAULT
        # As many as last time, while the record cannot be read yet: it is right in a moment.
        fleet = self._start_services(
            tasks, (self.data.last_workers() or 0) if wanted is None else wanted
        )
        rest = Rest(self.rest_url, self.api_key)
        for process in (*self._servers, *self._rest):
            await process.wait_ready(timeout_s=options.start_timeout_s)
        try:
            self._scale_to(await _agree(rest, wanted))
        except Unauthenticated as error:
            raise InvalidInput(
                f"the records at {commands.database_location} do not know the admin key of "
                f"--data-dir {self.data.path}: give theirs by DC_REST_ADMIN_KEY",
                field="api_key",
            ) from error
        for process in (*self._gateways, *fleet.workers):
            await process.wait_ready(timeout_s=options.start_timeout_s)

    def _start_services(self, tasks: asyncio.TaskGroup, workers: int) -> Fleet:
        self._rest = [self._process(Role.REST_API, "rest-api", self._commands.rest)]
        self._gateways = [
            self._process(
                Role.GATEWAY, f"gateway-{number}", partial(self._commands.gateway, number)
            )
            for number in range(1, self.options.gateways + 1)
        ]
        for rest_api in self._rest:
            tasks.create_task(rest_api.run(), name=rest_api.label)
        turns = Turns()
        for gateway in self._gateways:
            tasks.create_task(turns.run(gateway), name=gateway.label)
        self._fleet = Fleet(tasks, self._worker, turns.run)
        self._fleet.scale_to(workers)
        return self._fleet

    def _scale_to(self, workers: int) -> None:
        """As many workers as the pool's record says; the next start begins with that number."""
        if self._fleet is None:
            return
        self._fleet.scale_to(workers)
        if workers == self.data.last_workers():
            return
        try:
            self.data.remember_workers(workers)
        except OSError as error:
            self._output(note(f"the number of workers is not remembered: {error}", level="W"))

    def _worker(self, number: int) -> SupervisedProcess:
        label = f"ann-worker-{number}"
        return self._process(Role.WORKER, label, partial(self._commands.worker, number))

    def _process(self, role: Role, label: str, launch: Callable[[], Launch]) -> SupervisedProcess:
        return SupervisedProcess(
            role,
            label,
            launch=launch,
            output=self._output,
            changed=self._ready_files.update,
            backoff=Backoff(self.options.restart_longest_s),
        )

    # ------------------------------------------------------------------------------ running

    def _announce(self) -> None:
        self.ready.set()
        self._ready_files.announce()
        self._on_ready(self)

    async def _actuate(self) -> None:
        rest = Rest(self.rest_url, self.api_key)

        async def desired() -> int:
            return int((await rest.pool(POOL))["replicas"])

        await actuate(
            desired=desired,
            scale_to=self._scale_to,
            listen=on_nats(self._commands.nats_url, POOL, self._output),
            output=self._output,
        )

    # ------------------------------------------------------------------------------ stop

    async def _stop_all(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            killing = tasks.create_task(self._kill_on_request(), name="kill")
            for processes in self._phases():
                async with asyncio.TaskGroup() as phase:
                    for process in processes:
                        grace_s = GRACE_S.get(process.role, SERVER_GRACE_S)
                        phase.create_task(process.drain(grace_s), name=f"stop {process.label}")
            killing.cancel()

    def _phases(self) -> Iterator[list[SupervisedProcess]]:
        """Who needs another goes before it."""
        yield self._gateways
        if self._fleet is not None:
            yield [*self._fleet.workers, *self._fleet.leaving]
        yield self._rest
        yield self._servers

    async def _kill_on_request(self) -> None:
        await self._kill.wait()
        for process in self.processes:
            process.kill()


@contextlib.asynccontextmanager
async def running(options: StackOptions, output: Output) -> AsyncIterator[Stack]:
    """A stack that is ready inside and stopped in order after.

    Raises:
        DataDirLocked, DataDirUnusable, PortsInUse, MissingBinary: before anything is started.
        StartFailed, Unavailable: a process does not get ready.
    """
    with DataDir(options.data_dir) as data:
        stack = Stack(options, data, output)
        life = asyncio.create_task(stack.run(), name="stack")
        try:
            ready = asyncio.create_task(stack.ready.wait(), name="ready")
            await asyncio.wait({life, ready}, return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
            if not life.done():
                yield stack
        finally:
            if not life.done():
                stack.request_stop()
            await life


async def _agree(rest: Rest, wanted: int | None) -> int:
    """Make the pool's record and the number that was asked for the same."""
    if wanted is None:
        try:
            return int((await rest.pool(POOL))["replicas"])
        except NotFound:
            wanted = WORKERS_BY_DEFAULT
    return int((await rest.scale(POOL, wanted))["replicas"])
