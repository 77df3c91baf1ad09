"""A REST API on real NATS, Redis and SQLite, and a stand-in for the worker that owns sessions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from broker import subjects
from broker.nats import NatsBroker
from broker.port import Delivery
from foundation.settings import (
    BrokerSettings,
    DatabaseSettings,
    RedisSettings,
    Settings,
    TelemetrySettings,
)
from foundation.telemetry.readiness import ReadinessSettings
from protos.dc.internal.v1 import envelope_pb2
from protos.dc.v1 import stream_pb2
from registry.live import SessionStore
from registry.records.keys import new_key_text
from rest_api.service import serve
from rest_api.settings import RestSettings
from tests.support.servers import NatsServer, RedisServer

DIGITS: dict[str, Any] = {
    "name": "digits",
    "input": {"datatype": "FP32", "shape": [64]},
    "layers": [
        {"type": "dense", "units": 8, "activation": "relu"},
        {"type": "dense", "units": 10, "activation": "softmax"},
    ],
    "loss": "softmax_cross_entropy",
    "optimizer": {"type": "adam", "learning_rate": 0.001},
    "seed": 7,
}


class RestApi:
    """A running REST API: its URL, its admin key, and clients for keys."""

    def __init__(self, url: str, admin_key: str, opened: AsyncExitStack) -> None:
        self.url = url
        self.admin_key = admin_key
        self._opened = opened

    async def client(self, key: str | None) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
        return await self._opened.enter_async_context(
            httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30, trust_env=False)
        )


Start = Callable[..., Awaitable[RestApi]]


@pytest.fixture
async def start_rest(
    nats_server: NatsServer, redis_server: RedisServer, redis: Redis, tmp_path: Path
) -> AsyncIterator[Start]:
    """Start REST APIs with settings of their own, over one database and an empty Redis."""
    async with AsyncExitStack() as opened:

        async def start(**changes: Any) -> RestApi:
            groups = (
                RestSettings,
                DatabaseSettings,
                RedisSettings,
                BrokerSettings,
                TelemetrySettings,
                ReadinessSettings,
            )
            given: dict[str, Any] = {
                "rest_port": 0,
                "rest_admin_key": new_key_text(),
                "database_url": f"sqlite+aiosqlite:///{tmp_path}/records.db",
                "nats_url": nats_server.url,
                "redis_url": redis_server.url,
                "connect_timeout_s": 10,
            } | changes
            settings = Settings(
                [
                    group(**{k: v for k, v in given.items() if k in group.model_fields})
                    for group in groups
                ]
            )
            port = await opened.enter_async_context(_serving(settings))
            return RestApi(f"http://127.0.0.1:{port}", given["rest_admin_key"], opened)

        yield start


@asynccontextmanager
async def _serving(settings: Settings) -> AsyncIterator[int]:
    stop = asyncio.Event()
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(settings, stop=stop, on_ready=ready.set_result))
    waiting: set[asyncio.Future[Any]] = {task, ready}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    try:
        yield await ready
    finally:
        stop.set()
        await task


@pytest.fixture
async def rest(start_rest: Start) -> RestApi:
    return await start_rest()


@pytest.fixture
async def api(rest: RestApi) -> httpx.AsyncClient:
    """A client with the admin key."""
    return await rest.client(rest.admin_key)


@pytest.fixture
async def store(redis: Redis) -> SessionStore:
    return SessionStore(redis)


async def create_digits(api: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await api.post("/v1/networks", json=DIGITS | changes)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def open_session(api: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await api.post("/v1/sessions", json={"network": "digits"} | body)
    assert answer.status_code == 201, answer.text
    opened: dict[str, Any] = answer.json()
    return opened


async def make_key(api: httpx.AsyncClient, role: str, **body: Any) -> dict[str, Any]:
    answer = await api.post("/v1/keys", json={"name": role, "role": role} | body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


class Worker:
    """Owns sessions and answers their commands as it is told to."""

    def __init__(self, name: str, broker: NatsBroker, store: SessionStore) -> None:
        self.name = name
        self.commands: list[stream_pb2.Command] = []
        self.result: dict[str, Any] = {}
        self.error: stream_pb2.Error | None = None
        self._broker = broker
        self._store = store

    async def own(self, opened: dict[str, Any]) -> None:
        """Take a session as its gateway attaches it."""
        attachment = await self._store.attach(opened["stream"]["ticket"], "ticket", gateway="gw-1")
        await self._store.take(attachment.record, worker=self.name, above_epoch=0)

    def on_command(self, delivery: Delivery) -> None:
        request = envelope_pb2.CommandRequest.FromString(delivery.payload)
        self.commands.append(request.command)
        result = stream_pb2.CommandResult(
            command_id=request.command.command_id, after_seq=17, result=json.dumps(self.result)
        )
        if self.error is not None:
            result.error.CopyFrom(self.error)
        reply = envelope_pb2.CommandReply(result=result).SerializeToString()
        self._answering = asyncio.ensure_future(self._broker.publish(delivery.reply, reply))


@pytest.fixture
async def worker(broker: NatsBroker, store: SessionStore) -> AsyncIterator[Worker]:
    worker = Worker(f"worker-{new_key_text()[4:12]}", broker, store)
    subscription = await broker.subscribe(subjects.worker_commands(worker.name), worker.on_command)
    await broker.flush()
    yield worker
    await subscription.unsubscribe()
