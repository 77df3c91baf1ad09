"""Gateways and workers in this process, on real NATS and Redis, without the REST API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection, connect

from ann_workers.hosting.host import Host
from ann_workers.service import Worker
from ann_workers.settings import WorkerSettings
from broker.nats import NatsBroker
from direct_contact.gateway.service import Gateway
from direct_contact.gateway.settings import GatewaySettings
from foundation.busy_poll import BusyPollSettings
from foundation.settings import BrokerSettings, RedisSettings, Settings, TelemetrySettings
from foundation.telemetry.readiness import ReadinessSettings
from launcher.direct_worker.front import OwnEndpoint
from launcher.direct_worker.settings import EndpointSettings
from protos.dc.v1.stream_pb2 import ClientFrame, Hello, Input, ServerFrame, Welcome
from protos.dc.v1.tensor_pb2 import Payload, Tensor
from registry.ids import new_session_id
from registry.live import SessionRecord, SessionStore
from registry.networks.manifest import Manifest
from registry.networks.parameters import initial_parameters
from registry.networks.spec import parse_spec
from registry.networks.store import BUCKET, NetworkStore
from registry.networks.weights import encode_weights
from tests.support.servers import NatsServer, RedisServer

TENANT = "test"
LINEAR: dict[str, Any] = {
    "name": "linear",
    "input": {"datatype": "FP32", "shape": [4]},
    "layers": [{"type": "dense", "units": 3, "activation": "tanh"}],
    "loss": "mse",
    "optimizer": {"type": "sgd", "learning_rate": 0.01},
    "seed": 1,
}
RECURRENT: dict[str, Any] = {
    "name": "recurrent",
    "input": {"datatype": "FP32", "shape": [4]},
    "layers": [{"type": "gru", "units": 8}, {"type": "dense", "units": 2}],
    "loss": "mse",
    "optimizer": {"type": "adam", "learning_rate": 0.01},
    "seed": 2,
}


@dataclass
class Process:
    """A service that runs in this process."""

    name: str
    stop: asyncio.Event
    task: asyncio.Task[None]
    registry: CollectorRegistry
    service: Worker | Gateway

    @property
    def host(self) -> Host:
        """A worker's, to look into."""
        assert isinstance(self.service, Worker)
        return self.service._metrics.host

    def metric(self, name: str) -> float:
        """The value of an unlabelled metric."""
        value = self.registry.get_sample_value(name)
        assert value is not None, name
        return value

    async def drain(self) -> None:
        """As SIGTERM does."""
        self.stop.set()
        await self.task


@dataclass
class Stack:
    """What a test of the stream needs."""

    broker: NatsBroker
    store: SessionStore
    networks: NetworkStore
    nats: NatsServer
    redis: RedisServer
    gateway_settings: dict[str, Any] = field(default_factory=dict)
    worker_settings: dict[str, Any] = field(default_factory=dict)
    busy_poll: dict[str, Any] = field(default_factory=dict)
    ports: list[int] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)

    async def add_network(self, spec: dict[str, Any]) -> None:
        """Make version 1 of a network known."""
        parsed = parse_spec(spec)
        digest = await self.networks.put_weights(encode_weights(initial_parameters(parsed)))
        await self.networks.put_manifest(
            Manifest(
                tenant=TENANT,
                network=parsed.name,
                version=1,
                backend="numpy",
                spec=spec,
                weights=digest,
                stateful=parsed.stateful,
                trainable=parsed.trainable,
            )
        )

    async def add_session(self, network: str, **config: Any) -> SessionRecord:
        """Make a session known, as the REST API does."""
        record = SessionRecord(
            id=new_session_id(),
            tenant=TENANT,
            network=network,
            version=1,
            pool="default",
            stateful=network == "recurrent",
            config=config,
        )
        await self.store.create(record)
        return record

    def _settings(self, tmp: Any, **own: Any) -> Settings:
        return Settings(
            [
                BrokerSettings(nats_url=self.nats.url),
                RedisSettings(redis_url=self.redis.url),
                BusyPollSettings(**self.busy_poll),
                TelemetrySettings(),
                ReadinessSettings(ready_file=str(tmp)),
                EndpointSettings(),
                GatewaySettings(
                    **{"gateway_port": 0, "gateway_drain_s": 0.2, **self.gateway_settings}
                ),
                WorkerSettings(**{**self.worker_settings, **own}),
            ]
        )

    async def add_worker(self, tmp: Any, name: str = "worker") -> Process:
        """Start a worker and wait until it is ready."""
        registry = CollectorRegistry()
        worker = Worker(self._settings(tmp, worker_name=name), registry)
        return await self._start(worker, tmp, registry)

    async def add_direct_worker(self, tmp: Any, name: str = "direct") -> Process:
        """Start a worker with an endpoint of its own, which is found among `ports`."""
        registry = CollectorRegistry()
        settings = self._settings(tmp, worker_name=name)
        worker = Worker(settings, registry, front=OwnEndpoint(settings, registry))
        process = await self._start(worker, tmp, registry)
        self.ports.append(json.loads(tmp.read_text())["port"])
        return process

    async def add_gateway(self, tmp: Any) -> Process:
        """Start a gateway and wait until it is ready."""
        registry = CollectorRegistry()
        gateway = Gateway(self._settings(tmp), registry)
        process = await self._start(gateway, tmp, registry)
        self.ports.append(json.loads(tmp.read_text())["port"])
        return process

    async def _start(
        self, service: Worker | Gateway, ready: Any, registry: CollectorRegistry
    ) -> Process:
        ready.unlink(missing_ok=True)
        stop = asyncio.Event()
        task = asyncio.create_task(service.serve(stop))
        process = Process(service.name, stop, task, registry, service)
        self.processes.append(process)
        while not ready.exists():
            if task.done():
                await task
            await asyncio.sleep(0.002)
        return process

    @asynccontextmanager
    async def link(
        self, record: SessionRecord, *, token: str = "", gateway: int = 0
    ) -> AsyncIterator[RawLink]:
        """A raw WebSocket on the session, by a new ticket or by a resume token."""
        if token:
            credential = f"dc.resume.{token}"
        else:
            credential = f"dc.ticket.{await self.store.issue_ticket(record.id, ttl_s=60)}"
        async with self.dial(credential, gateway=gateway) as link:
            yield link

    @asynccontextmanager
    async def dial(self, *subprotocols: str, gateway: int = 0) -> AsyncIterator[RawLink]:
        """A raw WebSocket with these subprotocols beside dc.v1."""
        async with connect(
            f"ws://127.0.0.1:{self.ports[gateway]}/v1/stream",
            subprotocols=["dc.v1", *subprotocols],  # type: ignore[list-item]
            compression=None,
            max_size=None,
        ) as socket:
            yield RawLink(socket)


@dataclass
class RawLink:
    """Frames by hand."""

    socket: ClientConnection

    async def send(self, **fields: Any) -> None:
        """Send a ClientFrame with these fields."""
        await self.socket.send(ClientFrame(**fields).SerializeToString())

    async def receive(self) -> ServerFrame:
        """The next ServerFrame."""
        async with asyncio.timeout(15):
            return ServerFrame.FromString(await self.socket.recv(decode=False))

    async def greet(self, **hello: Any) -> Welcome:
        """Say Hello; returns the Welcome."""
        await self.send(hello=Hello(**{"oldest_retained_seq": 1, **hello}))
        frame = await self.receive()
        assert frame.HasField("welcome"), frame
        return frame.welcome

    async def outputs(self, count: int) -> list[Any]:
        """The next `count` outputs."""
        got: list[Any] = []
        while len(got) < count:
            got.extend((await self.receive()).outputs)
        return got


def vector(values: np.ndarray) -> bytes:
    """A payload with one FP32 tensor."""
    data = np.ascontiguousarray(values, dtype="<f4")
    tensor = Tensor(datatype="FP32", shape=data.shape, data=data.tobytes())
    return Payload(tensors=[tensor]).SerializeToString()


def values(payload: bytes) -> np.ndarray:
    """The first tensor of a payload."""
    tensor = Payload.FromString(payload).tensors[0]
    return np.frombuffer(tensor.data, dtype="<f4").reshape(tuple(tensor.shape))


def inputs(rows: np.ndarray, first: int = 1) -> Iterator[Input]:
    """Inputs numbered from `first`."""
    return (Input(seq=first + i, payload=vector(row)) for i, row in enumerate(rows))


@asynccontextmanager
async def running_stack(
    broker: NatsBroker,
    redis: Redis,
    nats: NatsServer,
    redis_server: RedisServer,
    tmp: Any,
    *,
    workers: int = 1,
    gateways: int = 1,
    direct: int = 0,
    gateway: dict[str, Any] | None = None,
    worker: dict[str, Any] | None = None,
    busy_poll: dict[str, Any] | None = None,
) -> AsyncIterator[Stack]:
    """A stack with the two networks above; everything is stopped at the end.

    The ports of the `direct` workers come before those of the gateways.
    """
    stack = Stack(
        broker,
        SessionStore(redis),
        NetworkStore(broker.blobs(BUCKET), redis),
        nats,
        redis_server,
        gateway or {},
        worker or {},
        busy_poll or {},
    )
    await stack.add_network(LINEAR)
    await stack.add_network(RECURRENT)
    for index in range(workers):
        await stack.add_worker(tmp / f"worker-{index}", f"worker-{index}")
    for index in range(direct):
        await stack.add_direct_worker(tmp / f"direct-{index}", f"direct-{index}")
    for index in range(gateways):
        await stack.add_gateway(tmp / f"gateway-{index}")
    try:
        yield stack
    finally:
        for process in reversed(stack.processes):
            if not process.task.done():
                await process.drain()


Running: TypeAlias = Callable[..., AbstractAsyncContextManager[Stack]]
"""`running_stack` on the servers of the run: takes its keyword arguments."""
