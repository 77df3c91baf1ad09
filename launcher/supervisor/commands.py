"""How each process of the stack is started, and how it tells that it is ready."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from foundation.urls import without_credentials
from launcher.embedded.binaries import nats_server_binary, redis_server_binary
from launcher.embedded.cores import usable_cores
from launcher.embedded.nats import nats_answers, nats_command, nats_cores, nats_environment
from launcher.embedded.ports import LOOPBACK
from launcher.embedded.redis import redis_answers, redis_command
from launcher.supervisor.datadir import DataDir
from launcher.supervisor.options import Ports, Role, StackOptions
from launcher.supervisor.process import Launch

_NOT_INHERITED = ("DC_READY_FILE", "DC_API_KEY", "DC_PROBE_PORT")
POOL = "default"


class Commands:
    """Makes the `Launch` of every process of one stack.

    Args:
        options: what was asked for.
        ports: what was decided.
        data: the locked data directory.
        api_key: the admin key's text, for REST's first start.
    """

    def __init__(self, options: StackOptions, ports: Ports, data: DataDir, api_key: str) -> None:
        self._options = options
        self._ports = ports
        self._data = data
        self._api_key = api_key
        self.nats_url = options.nats_url or f"nats://{LOOPBACK}:{ports.nats}"
        self.redis_url = options.redis_url or f"redis://{LOOPBACK}:{ports.redis}/0"
        self.database_url = options.database_url or f"sqlite+aiosqlite:///{data.records}"
        self._reachable = reachable = _reachable(options.host)
        self.rest_url = f"http://{reachable}:{ports.rest}"
        self.stream_urls = [f"ws://{reachable}:{port}/v1/stream" for port in ports.stream]
        self.stream_url = self.stream_urls[0]

    @property
    def database_location(self) -> str:
        """The database's URL without its user and password."""
        return without_credentials(self.database_url)

    def check_binaries(self) -> None:
        """Find the embedded servers that will be needed.

        Raises:
            MissingBinary: one is not installed.
        """
        if not self._options.nats_url:
            nats_server_binary()
        if not self._options.redis_url:
            redis_server_binary()

    def nats(self) -> Launch:
        """NATS with its JetStream files in the data directory."""
        command = nats_command(self._data.nats, self._ports.nats)
        port = self._ports.nats

        async def ready_as(_pid: int) -> str:
            return "nats" if await nats_answers(LOOPBACK, port) else ""

        cores = nats_cores(usable_cores())
        environment = {**nats_environment(cores), **self._options.environment}
        return Launch("nats", command, environment, ready_as, cores)

    def redis(self) -> Launch:
        """Redis with its append-only file in the data directory."""
        command = redis_command(self._data.redis, self._ports.redis)
        port = self._ports.redis

        async def ready_as(_pid: int) -> str:
            return "redis" if await redis_answers(LOOPBACK, port) else ""

        return Launch("redis", command, self._options.environment, ready_as)

    def rest(self) -> Launch:
        """The REST API; the first start gives it the admin key."""
        return self._service(
            Role.REST_API,
            "rest-api",
            {
                "DC_REST_HOST": self._options.host,
                "DC_REST_PORT": str(self._ports.rest),
                "DC_REST_STREAM_URL": self._options.environment.get(
                    "DC_REST_STREAM_URL", ",".join(self.stream_urls)
                ),
                "DC_REST_ADMIN_KEY": self._api_key,
            },
        )

    def gateway(self, number: int) -> Launch:
        """The `number`th gateway, from 1; it adds to its name what tells this start from others."""
        name = f"gateway-{number}"
        return self._service(
            Role.GATEWAY,
            name,
            {
                "DC_GATEWAY_NAME": name,
                "DC_GATEWAY_HOST": self._options.host,
                "DC_GATEWAY_PORT": str(self._ports.stream[number - 1]),
            },
        )

    def worker(self, number: int) -> Launch:
        """The `number`th worker of the default pool, from 1; its name is made as a gateway's."""
        name = f"ann-worker-{number}"
        return self._service(
            Role.WORKER,
            name,
            {
                "DC_WORKER_NAME": name,
                "DC_WORKER_POOL": POOL,
                # Its own endpoint, on any free port.
                "DC_GATEWAY_HOST": self._options.host,
                "DC_GATEWAY_PORT": "0",
                "DC_WORKER_ENDPOINT_URL": self._options.environment.get(
                    "DC_WORKER_ENDPOINT_URL", f"ws://{self._reachable}:{{port}}/v1/stream"
                ),
            },
        )

    def _service(self, role: Role, name: str, own: Mapping[str, str]) -> Launch:
        ready_file = self._data.run / f"{name}.json"
        environment = {
            variable: value
            for variable, value in self._options.environment.items()
            if variable not in _NOT_INHERITED
        }
        return Launch(
            name,
            # -P: a folder named like one of our packages where the user stands is not ours.
            [sys.executable, "-P", "-m", self._options.modules[role]],
            {
                **environment,
                "PYTHONUNBUFFERED": "1",
                "DC_NATS_URL": self.nats_url,
                "DC_REDIS_URL": self.redis_url,
                "DC_DATABASE_URL": self.database_url,
                "DC_LOG_FORMAT": self._options.log_format,
                "DC_LOG_LEVEL": self._options.log_level,
                "DC_READY_FILE": str(ready_file),
                **own,
            },
            _ready_as(ready_file),
        )


def _ready_as(ready_file: Path) -> Callable[[int], Awaitable[str]]:
    async def ready_as(pid: int) -> str:
        try:
            # 10 µs: a thread would cost more than the read.
            said = json.loads(ready_file.read_text())  # noqa: ASYNC240
        except (OSError, ValueError):
            return ""
        # The file of an earlier start may still lie there.
        return str(said["name"]) if said.get("pid") == pid else ""

    return ready_as


def _reachable(host: str) -> str:
    # What listens everywhere is reached at the loopback address.
    host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104  # compared only
    return f"[{host}]" if ":" in host else host
