"""The REST API as a process: opens its connections, serves until told to stop, closes them."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import uvicorn

from broker.nats import connect as connect_broker
from foundation.errors import InvalidInput
from foundation.process import bound_port_error
from foundation.redis import connect as connect_redis
from foundation.settings import BrokerSettings, DatabaseSettings, RedisSettings, Settings
from foundation.telemetry.readiness import ReadinessSettings, write_ready
from registry.networks.store import BUCKET
from registry.records import connect as connect_records
from rest_api.application import create_app
from rest_api.housekeeping import first_records, sweep_forever
from rest_api.services import Connections, Services
from rest_api.settings import RestSettings

log = logging.getLogger(__name__)

DRAIN_S = 10
"""How long calls under way may take to finish after SIGTERM."""


async def serve(
    settings: Settings, *, stop: asyncio.Event, on_ready: Callable[[int], None] | None = None
) -> None:
    """Serve until `stop` is set, then finish the calls under way.

    Args:
        settings: of every group that the entry point loads.
        stop: set it to end.
        on_ready: called with the port once calls are answered.

    Raises:
        InvalidInput: a setting is wrong.
        OSError: the port is in use.
        Unavailable: something that it needs does not answer.
    """
    ready = asyncio.Event()

    def announce(port: int) -> None:
        ready.set()
        if on_ready is not None:
            on_ready(port)

    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(_serve(settings, stop, announce), name="serve")
        stopping = tasks.create_task(stop.wait(), name="stop")
        serving.add_done_callback(lambda _: stopping.cancel())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.is_set():
            # It still waits for what it needs: there is nothing to finish.
            serving.cancel()


async def _serve(settings: Settings, stop: asyncio.Event, announce: Callable[[int], None]) -> None:
    rest = settings[RestSettings]
    # The port first: a second start must fail before it touches anything.
    listener = _listen(rest)
    port: int = listener.getsockname()[1]
    try:
        async with _connected(settings) as connections:
            services = Services.over(connections, rest)
            await first_records(services)

            def ready() -> None:
                scheme = "https" if rest.rest_tls_cert else "http"
                log.info("ready at %s://%s:%d", scheme, rest.rest_host, port)
                write_ready(
                    settings[ReadinessSettings].ready_file,
                    name=rest.rest_name,
                    pid=os.getpid(),
                    probe_port=port,
                    port=port,
                )
                announce(port)

            server = _Server(_configuration(services, rest), ready)
            async with asyncio.TaskGroup() as tasks:
                sweeping = tasks.create_task(sweep_forever(services), name="sweep")
                stopping = tasks.create_task(server.stop_when(stop), name="stop")
                await server.serve(sockets=[listener])
                sweeping.cancel()
                stopping.cancel()
    finally:
        listener.close()
    log.info("stopped")


def _listen(settings: RestSettings) -> socket.socket:
    host, port = settings.rest_host, settings.rest_port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise bound_port_error(
            "the REST API", host, port, "--rest-port (DC_REST_PORT)", error
        ) from error


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[Connections]:
    timeout_s = settings[BrokerSettings].connect_timeout_s
    redis = settings[RedisSettings]
    async with AsyncExitStack() as opened:
        database = await connect_records(
            settings[DatabaseSettings].database_url, timeout_s=timeout_s
        )
        opened.push_async_callback(database.close)
        sessions = cache = await connect_redis(redis.redis_url, timeout_s=timeout_s)
        opened.push_async_callback(sessions.aclose)
        if redis.cache_url != redis.redis_url:
            cache = await connect_redis(
                redis.cache_url, timeout_s=timeout_s, variable="DC_CACHE_REDIS_URL"
            )
            opened.push_async_callback(cache.aclose)
        broker = await connect_broker(
            settings[BrokerSettings], name=settings[RestSettings].rest_name
        )
        opened.push_async_callback(broker.close)
        yield Connections(database, sessions, cache, broker, broker.blobs(BUCKET))


def _configuration(services: Services, settings: RestSettings) -> uvicorn.Config:
    config = uvicorn.Config(
        create_app(services),
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        ssl_certfile=settings.rest_tls_cert or None,
        ssl_keyfile=settings.rest_tls_key or None,
        timeout_graceful_shutdown=DRAIN_S,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError, ValueError) as error:
        raise InvalidInput(
            f"DC_REST_TLS_CERT or DC_REST_TLS_KEY cannot be used: {error}", field="rest_tls_cert"
        ) from error
    return config


class _Server(uvicorn.Server):
    """uvicorn, without its signal handlers, and with word of when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def stop_when(self, stop: asyncio.Event) -> None:
        """Begin the shutdown once the event is set."""
        await stop.wait()
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the entry point."""
        yield
