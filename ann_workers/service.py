"""The composition root of a worker."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, CollectorRegistry

from ann_workers.destinations import destinations
from ann_workers.front import Front
from ann_workers.hosting.calling import AnswerBounds
from ann_workers.hosting.checkpoints import Checkpointer
from ann_workers.hosting.draining import hand_over_all
from ann_workers.hosting.engine import Engine
from ann_workers.hosting.frames import ENVELOPE_BYTES
from ann_workers.hosting.host import Host
from ann_workers.hosting.lease import Lease
from ann_workers.hosting.networks import Networks
from ann_workers.hosting.outbox import Outbox
from ann_workers.hosting.parking import Parking
from ann_workers.hosting.remote import Remote
from ann_workers.hosting.taking import Taking
from ann_workers.hosting.warming import keep_warm
from ann_workers.metrics import WorkerMetrics
from ann_workers.offers import Offers
from ann_workers.rest_commands import on_command
from ann_workers.settings import WorkerSettings
from broker import nats, subjects
from broker.links import Links
from broker.port import Broker
from foundation import redis
from foundation.busy_poll import BusyPoll, BusyPollSettings
from foundation.clock import unix_ms
from foundation.errors import Unavailable
from foundation.modules import modules
from foundation.process import beat, settle_memory
from foundation.settings import BrokerSettings, RedisSettings, Settings, TelemetrySettings
from foundation.telemetry import Health, ProbeServer
from foundation.telemetry.readiness import ReadinessSettings, write_ready
from protos.dc.internal.v1.envelope_pb2 import RELEASE_MOVED, Released
from registry.live import SessionStore, WorkerDirectory, WorkerInfo
from registry.networks.store import BUCKET, NetworkStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ann_workers.hosting.session import HeldSession

logger = logging.getLogger(__name__)

SILENCE_S = 3.0
"""A gateway that is silent for longer is gone; its clients have reconnected by then."""


class Worker:
    """One worker process: joins the parts, serves, drains.

    Args:
        settings: of every group that the entry point loads.
        registry: gets the metrics.
        front: an endpoint of its own; None: clients come through gateways only.
    """

    def __init__(
        self,
        settings: Settings,
        registry: CollectorRegistry = REGISTRY,
        *,
        front: Front | None = None,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._front = front
        self._own = settings[WorkerSettings]
        # New at each start: nothing that was meant for an earlier process reaches this one.
        self.name = f"{self._own.worker_name}-{secrets.token_hex(3)}"
        self._started_ms = unix_ms()
        self._stuck = False

    async def serve(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then hand every session over.

        Raises:
            Unavailable: NATS or Redis did not answer in time at the start; or a computation did
                not end, and every session was handed over.
            InvalidInput, OSError: its endpoint cannot be opened.
        """
        settings = self._settings
        broker_settings = settings[BrokerSettings]
        wait_s = broker_settings.connect_timeout_s
        redis_settings = settings[RedisSettings]
        async with asyncio.TaskGroup() as starting:
            to_store = starting.create_task(
                redis.connect(redis_settings.redis_url, timeout_s=wait_s)
            )
            to_cache = starting.create_task(
                redis.connect(redis_settings.cache_url, timeout_s=wait_s)
            )
            to_broker = starting.create_task(nats.connect(broker_settings, name=self.name))
        broker = to_broker.result()
        self._directory = WorkerDirectory(to_store.result())
        host = self._compose(
            stop,
            broker,
            SessionStore(to_store.result()),
            NetworkStore(broker.blobs(BUCKET), to_cache.result()),
        )
        health = Health(
            checks={
                "nats": lambda: None if broker.connected else "not connected",
                "lease": lambda: None if host.lease.good() else "not renewed",
                "draining": lambda: "draining" if host.taking.draining else None,
            }
        )
        telemetry = settings[TelemetrySettings]
        probes = ProbeServer(
            health, host=telemetry.probe_host, port=telemetry.probe_port, registry=self._registry
        )
        try:
            await self._serve(
                broker,
                host,
                stop,
                health,
                lambda: write_ready(
                    settings[ReadinessSettings].ready_file,
                    name=self.name,
                    pid=os.getpid(),
                    probe_port=probes.port,
                    port=self._front.port if self._front is not None else 0,
                ),
            )
        finally:
            probes.close()
            host.engine.close()
            host.remote.close()
            await broker.close()
            for connection in {id(r): r for r in (to_store.result(), to_cache.result())}.values():
                await connection.aclose()

    def _compose(
        self, stop: asyncio.Event, broker: Broker, store: SessionStore, networks: NetworkStore
    ) -> Host:
        own = self._own
        name = self.name
        self._metrics = WorkerMetrics(self._registry)
        host = Host(
            name=name,
            store=store,
            networks=Networks(networks, capacity=own.worker_model_cache, settings=self._settings),
            poll=BusyPoll(self._settings[BusyPollSettings].busy_poll_us / 1e6),
        )
        host.links = Links(
            broker,
            name=name,
            inbox=subjects.worker_in(name),
            outbox=subjects.gateway_out,
            undelivered=lambda gateway: subjects.worker_undelivered(name, gateway),
            owner=host.inbox,
            silence_s=SILENCE_S,
            heard=host.poll.heard,
        )
        host.lease = Lease(  # its callbacks run after the parts below are there
            self._directory,
            length_s=own.worker_lease_ms / 1000,
            describe=lambda: self._describe(host),
            on_regained=host.keeping.regain,
            on_good=host.answer_again,
        )
        host.outbox = Outbox(
            host.links,
            frame_bytes=min(1 << 20, broker.max_payload_bytes // 2),
            may_send=host.lease.good,
        )
        host.checkpoints = Checkpointer(
            store,
            worker=name,
            every_inputs=own.worker_checkpoint_inputs,
            every_s=own.worker_checkpoint_ms / 1000,
            on_written=host.written,
            on_done=host.boundary.beat,
            on_fenced=host.fenced,
        )
        answer_bytes = broker.max_payload_bytes - ENVELOPE_BYTES
        host.remote = Remote(
            host,
            AnswerBounds(
                timeout_s=own.worker_compute_timeout_s,
                retry_s=own.worker_remote_retry_s,
                answer_bytes=own.worker_remote_answer_bytes,
                part_bytes=answer_bytes,
            ),
            observe=self._metrics.observe,
        )
        host.engine = Engine(
            max_batch=own.worker_max_batch,
            answer_bytes=answer_bytes,
            inline_s=own.worker_inline_us / 1e6,
            timeout_s=own.worker_compute_timeout_s,
            trials=store,
            on_stuck=lambda unsure: self._end_stuck(host, unsure, stop),
            on_fenced=host.fenced,
            on_answers=host.answered,
            on_batch=host.outbox.flush,
            on_boundary=host.desk.at_boundary,
            on_remote=host.remote.take,
            observe=self._metrics.observe,
        )
        host.parking = Parking(host, limit_bytes=own.worker_detached_bytes)
        host.taking = Taking(host, own)
        self._metrics.host = host
        return host

    async def _serve(
        self,
        broker: Broker,
        host: Host,
        stop: asyncio.Event,
        health: Health,
        ready: Callable[[], None],
    ) -> None:
        await host.links.open()
        front = self._front
        if front is not None:
            await front.open(broker, host.store, host)
        await broker.subscribe(
            subjects.worker_commands(self.name), lambda d: on_command(broker, host, d)
        )
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(host.links.run(), name="links"),
                tasks.create_task(host.checkpoints.run(), name="checkpoints"),
                tasks.create_task(host.keeping.run(), name="keep"),
                tasks.create_task(host.lease.run(), name="lease"),
                tasks.create_task(beat(health), name="beat"),
                tasks.create_task(
                    keep_warm(host.networks, self._directory, pool=self._own.worker_pool),
                    name="warm",
                ),
            ]
            if front is not None:
                running.append(tasks.create_task(front.run(), name="front"))
            await host.lease.renew()
            offers = Offers(broker, host, self._own, endpoint=self._endpoint)
            await offers.open()
            settle_memory()
            ready()
            logger.info(
                "worker ready",
                extra={
                    "worker": self.name,
                    "pool": self._own.worker_pool,
                    "endpoint": self._endpoint or "-",
                    "modules": modules(),
                },
            )
            await stop.wait()
            host.taking.draining = True
            await offers.close()
            await self._empty(broker, host)
            await self._directory.withdraw(self.name)
            for task in running:
                task.cancel()
        logger.info("worker stopped", extra={"worker": self.name})
        if self._stuck:
            raise Unavailable(
                f"a computation took longer than {self._own.worker_compute_timeout_s:g} s "
                "(DC_WORKER_COMPUTE_TIMEOUT_S): every session was handed over"
            )

    @property
    def _endpoint(self) -> str:
        return self._front.url if self._front is not None else ""

    async def _empty(self, broker: Broker, host: Host) -> None:
        front = self._front
        if front is not None and not self._stuck:
            # First those who stream straight to here: they are answered until they have left, and
            # their sessions wait for them where a gateway finds them.
            await front.drain()
        targets = await destinations(broker, self._own.worker_pool) if host.sessions else []
        await hand_over_all(host, targets, within_s=self._own.worker_drain_s)
        # One more turn for the links, then what they sent reaches the broker.
        await asyncio.sleep(0)
        await host.links.flush()
        if front is not None and self._stuck:
            await front.drain()

    def _end_stuck(self, host: Host, unsure: Sequence[HeldSession], stop: asyncio.Event) -> None:
        """The compute thread will not come back: only a new process can compute again."""
        logger.critical(
            "a computation takes too long: this worker hands its sessions over and ends",
            extra={"worker": self.name, "unsure": len(unsure)},
        )
        self._stuck = True
        for session in unsure:
            # What it has learned may be half changed: it goes on from its last checkpoint.
            host.let_go(session, Released(release=RELEASE_MOVED))
        stop.set()

    def _describe(self, host: Host) -> WorkerInfo:
        return WorkerInfo(
            name=self.name,
            pool=self._own.worker_pool,
            host=socket.gethostname(),
            pid=os.getpid(),
            sessions=len(host.sessions),
            capacity=self._own.worker_max_sessions,
            started_ms=self._started_ms,
            state="draining" if host.taking.draining else "ready",
            networks=host.networks.names(),
            endpoint=self._endpoint,
        )
