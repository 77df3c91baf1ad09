"""One process of the stack: started, watched, started again when it dies, drained when told."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launcher.embedded.tether import tethered
from launcher.supervisor.backoff import Backoff
from launcher.supervisor.failures import StartFailed
from launcher.supervisor.logs import Output, note, read
from launcher.supervisor.options import Role

READY_POLL_S = 0.01
"""How often readiness is asked for; a look at a ready file costs 10 µs, a connect 0.2 ms."""

START_ATTEMPTS = 3
"""So many deaths before it was ever ready, and the stack's start fails. One death may be a port
that something else took meanwhile."""

_LAST_WORDS = 15
_LONGEST_LINE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Launch:
    """One start of a process."""

    name: str
    """What it is called until it tells its own name."""
    command: Sequence[str]
    environment: Mapping[str, str]
    ready_as: Callable[[int], Awaitable[str]]
    """Asked with the pid until it answers the name under which the process is ready."""
    cores: Collection[int] = ()
    """Where it runs; (): anywhere."""


class SupervisedProcess:
    """Keeps one process running until it is drained.

    `run` is its life and belongs to the caller's TaskGroup; everything else talks to it.

    Args:
        role: what it is.
        label: what the log calls it; stays through restarts.
        launch: makes each start's command, so that a restart can have a new name.
        output: takes its lines, and what the launcher says of it.
        changed: called whenever the process starts, ends or tells its name.
        backoff: decides when it is started again.
    """

    def __init__(
        self,
        role: Role,
        label: str,
        *,
        launch: Callable[[], Launch],
        output: Output,
        changed: Callable[[], None],
        backoff: Backoff | None = None,
    ) -> None:
        self.role = role
        self.label = label
        self.name = label
        self.pid: int | None = None
        self.draining = False
        self.ready = False
        self._launch = launch
        self._output = output
        self._changed = changed
        self._backoff = backoff or Backoff()
        self._failed_starts = 0
        self._was_ready = False
        self._exit = "has not started"
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._process: asyncio.subprocess.Process | None = None
        self._retired = asyncio.Event()
        self._ended = asyncio.Event()
        self._news = asyncio.Condition()

    def __repr__(self) -> str:
        return f"<{self.role} {self.name} pid={self.pid} ready={self.ready}>"

    async def run(self) -> None:
        """Start the process, and again when it dies, until it is drained. Cancelled: kills it."""
        try:
            while not self._retired.is_set():
                started_at = time.monotonic()
                await self._run_once()
                if self._retired.is_set():
                    break
                delay_s = self._backoff.after(time.monotonic() - started_at)
                self._say(f"{self.name} {self._exit}; it starts again in {delay_s:.2f} s", "W")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay_s):
                        await self._retired.wait()
        finally:
            self._ended.set()

    async def wait_ready(self, *, timeout_s: float) -> None:
        """Wait until the process says that it is ready.

        Raises:
            StartFailed: it died `START_ATTEMPTS` times, it is not ready in time, or it was
                drained meanwhile.
        """
        try:
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait_for(self._settled)
        except TimeoutError:
            raise self._start_failed(f"is not ready after {timeout_s:.0f} s") from None
        if not self.ready and not self._was_ready:
            raise self._start_failed(self._exit)

    async def drain(self, grace_s: float) -> None:
        """Ask the process to finish (SIGTERM) and wait for its end; it is not started again.

        One that takes longer than `grace_s` is killed. Cancelled: the asking stands, the waiting
        ends.
        """
        self.retire()
        try:
            async with asyncio.timeout(grace_s):
                await self._ended.wait()
        except TimeoutError:
            self._say(f"{self.name} did not finish within {grace_s:.0f} s: killed", "W")
            self.kill()
            await self._ended.wait()

    def retire(self) -> None:
        """Ask the process to finish, without waiting."""
        if not self.draining:
            self.draining = True
            self._retired.set()
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process now; it is not started again."""
        self.draining = True
        self._retired.set()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _settled(self) -> bool:
        return self.ready or self._failed_starts >= START_ATTEMPTS or self._ended.is_set()

    def _start_failed(self, why: str) -> StartFailed:
        words = "".join(f"\n  {line}" for line in self._last_words)
        return StartFailed(f"{self.label} {why}; its last lines:{words or ' none'}")

    async def _run_once(self) -> None:
        launch = self._launch()
        process = await asyncio.create_subprocess_exec(
            *tethered(launch.command, cores=launch.cores),
            env=dict(launch.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A group of its own: the terminal's Ctrl-C reaches the launcher only.
            process_group=0,
        )
        self._process, self.pid, self.name = process, process.pid, launch.name
        self._changed()
        if self._retired.is_set():
            self._signal(signal.SIGTERM)
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(self._watch_readiness(launch, process.pid))
                reading = tasks.create_task(self._read_output(process))
                await process.wait()
                watch.cancel()
                # A grandchild may hold the pipe open: its lines are worth no wait.
                await asyncio.wait({reading}, timeout=0.5)
                reading.cancel()
        finally:
            if process.returncode is None:
                self._signal(signal.SIGKILL)
                await process.wait()
            _close(process)
            await self._ended_with(process.returncode or 0)

    async def _ended_with(self, code: int) -> None:
        self._exit = _describe(code)
        self._process = self.pid = None
        if not self._was_ready:
            self._failed_starts += 1
        self.ready = False
        self._changed()
        async with self._news:
            self._news.notify_all()

    async def _watch_readiness(self, launch: Launch, pid: int) -> None:
        # Nothing tells: a file appears, a port begins to answer.
        while not (name := await launch.ready_as(pid)):  # noqa: ASYNC110
            await asyncio.sleep(READY_POLL_S)
        if name != self.name:
            self.name = name
            self._changed()
        async with self._news:
            self.ready = self._was_ready = True
            self._news.notify_all()

    async def _read_output(self, process: asyncio.subprocess.Process) -> None:
        pipe = process.stdout
        if pipe is None:
            return
        rest = b""
        while chunk := await pipe.read(_LONGEST_LINE):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._take(line)
        if rest:
            self._take(rest)

    def _take(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        if text:
            self._last_words.append(text)
            self._output(read(self.role, self.label, text))

    def _say(self, text: str, level: str) -> None:
        self._output(note(text, level=level))


def _describe(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _close(process: asyncio.subprocess.Process) -> None:
    # Its pipe stays open, and warns, when a grandchild holds the other end.
    transport: Any = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()
