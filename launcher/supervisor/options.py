"""What a stack is asked to be, and the ports that follow from it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from foundation.errors import InvalidInput
from launcher.embedded.ports import LOOPBACK, free_port, in_use
from launcher.supervisor.backoff import LONGEST_S
from launcher.supervisor.failures import PortsInUse


class Role(StrEnum):
    """What a process of the stack is, as the ready file calls it."""

    NATS = "nats"
    REDIS = "redis"
    REST_API = "rest_api"
    GATEWAY = "direct_contact"
    WORKER = "ann_worker"


MODULES: Mapping[Role, str] = {
    Role.REST_API: "rest_api",
    Role.GATEWAY: "direct_contact",
    Role.WORKER: "launcher.direct_worker",
}
"""The Python module that each service runs as."""


@dataclass(frozen=True, slots=True)
class StackOptions:
    """One stack. A port of 0 means any free one."""

    data_dir: Path = Path(".direct-contact")
    host: str = LOOPBACK
    """Where REST and the stream listen. The embedded servers listen on 127.0.0.1 only."""
    port: int = 8000
    stream_port: int = 8765
    """The first gateway's; the others take the ports after it."""
    gateways: int = 1
    workers: int | None = None
    """None: what the pool's record says; two where there is none yet."""
    nats_port: int = 0
    redis_port: int = 0
    nats_url: str = ""
    """An existing NATS; empty: the embedded one."""
    redis_url: str = ""
    database_url: str = ""
    """Empty: SQLite in the data directory."""
    ready_file: Path | None = None
    log_format: str = "text"
    log_level: str = "INFO"
    start_timeout_s: float = 60.0
    restart_longest_s: float = LONGEST_S
    """A process that keeps dying waits no longer than this before its next start."""
    modules: Mapping[Role, str] = field(default_factory=lambda: MODULES)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    """What the services inherit."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one stack, every one of them decided."""

    rest: int
    stream: tuple[int, ...]
    nats: int
    redis: int


def decide_ports(options: StackOptions, *, taken: Callable[[str, int], bool] = in_use) -> Ports:
    """Choose the free ports and check the given ones, before anything is started.

    Raises:
        PortsInUse: names every port that is taken, with the option that changes it.
        InvalidInput: `host` is not an address of this machine, or a port needs more rights.
    """
    problems: list[str] = []
    chosen: set[int] = set()

    def decide(host: str, port: int, what: str, option: str) -> int:
        try:
            if port == 0:
                port = free_port(host, taken=frozenset(chosen))
            elif port in chosen or taken(host, port):
                problems.append(
                    f"port {port} on {host} (for {what}) is in use: choose another with "
                    f"{option}, or {option} 0 for any free one"
                )
        except OSError as error:
            raise InvalidInput(
                f"cannot listen on {host} port {port} (for {what}): {error.strerror or error}; "
                f"change --host or {option}",
                field="host",
            ) from error
        chosen.add(port)
        return port

    rest = decide(options.host, options.port, "REST", "--port")
    stream = tuple(
        decide(
            options.host,
            options.stream_port + number if options.stream_port else 0,
            "the stream",
            "--stream-port",
        )
        for number in range(options.gateways)
    )
    nats = 0 if options.nats_url else decide(LOOPBACK, options.nats_port, "NATS", "--nats-port")
    redis = (
        0 if options.redis_url else decide(LOOPBACK, options.redis_port, "Redis", "--redis-port")
    )
    if problems:
        raise PortsInUse("\n".join(problems), field="port")
    return Ports(rest=rest, stream=stream, nats=nats, redis=redis)
