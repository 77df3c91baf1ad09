"""The composition root of a gateway."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets

from prometheus_client import REGISTRY, CollectorRegistry

from broker import nats
from direct_contact.gateway.endpoint import Endpoint
from direct_contact.gateway.hub import Hub
from direct_contact.gateway.metrics import GatewayMetrics
from direct_contact.gateway.settings import GatewaySettings
from foundation import redis
from foundation.busy_poll import BusyPoll, BusyPollSettings
from foundation.modules import modules
from foundation.process import beat, settle_memory
from foundation.settings import BrokerSettings, RedisSettings, Settings, TelemetrySettings
from foundation.telemetry import Health, ProbeServer
from foundation.telemetry.readiness import ReadinessSettings, write_ready
from registry.live import SessionStore

logger = logging.getLogger(__name__)


class Gateway:
    """One gateway process: joins the parts, serves, drains."""

    def __init__(self, settings: Settings, registry: CollectorRegistry = REGISTRY) -> None:
        self._settings = settings
        self._registry = registry
        self._own = settings[GatewaySettings]
        # New at each start: nothing that was meant for an earlier process reaches this one.
        self.name = f"{self._own.gateway_name}-{secrets.token_hex(3)}"

    async def serve(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then send every client elsewhere.

        Raises:
            Unavailable: NATS or Redis did not answer in time at the start.
            OSError: the port is in use.
        """
        settings = self._settings
        wait_s = settings[BrokerSettings].connect_timeout_s
        async with asyncio.TaskGroup() as starting:
            to_redis = starting.create_task(
                redis.connect(settings[RedisSettings].redis_url, timeout_s=wait_s)
            )
            to_broker = starting.create_task(nats.connect(settings[BrokerSettings], name=self.name))
        store, broker = to_redis.result(), to_broker.result()
        hub = Hub(
            name=self.name,
            settings=self._own,
            broker=broker,
            store=SessionStore(store),
            poll=BusyPoll(settings[BusyPollSettings].busy_poll_us / 1e6),
        )
        collector = GatewayMetrics(hub)
        self._registry.register(collector)
        health = Health(
            checks={
                "nats": lambda: None if broker.connected else "not connected",
                "draining": lambda: "draining" if hub.draining else None,
            }
        )
        telemetry = settings[TelemetrySettings]
        probes = ProbeServer(
            health, host=telemetry.probe_host, port=telemetry.probe_port, registry=self._registry
        )
        try:
            await self._serve(hub, stop, health, probes.port)
        finally:
            probes.close()
            await broker.close()
            await store.aclose()

    async def _serve(self, hub: Hub, stop: asyncio.Event, health: Health, probe_port: int) -> None:
        await hub.links.open()
        endpoint = Endpoint(hub, self._own)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(hub.run(), name="hub"),
                tasks.create_task(beat(health), name="beat"),
            ]
            port = await endpoint.listen()
            settle_memory()
            write_ready(
                self._settings[ReadinessSettings].ready_file,
                name=self.name,
                pid=os.getpid(),
                probe_port=probe_port,
                port=port,
            )
            logger.info(
                "gateway ready",
                extra={"gateway": self.name, "port": port, "modules": modules()},
            )
            await stop.wait()
            await endpoint.drain()
            for task in running:
                task.cancel()
        logger.info("gateway stopped", extra={"gateway": self.name})
