"""A gateway's hub before a worker's host, in one process and joined by a link of its own."""

from __future__ import annotations

import socket
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry

from ann_workers.hosting.host import Host
from ann_workers.settings import WorkerSettings
from broker.port import Broker
from direct_contact.gateway.admission import PATH
from direct_contact.gateway.endpoint import Endpoint
from direct_contact.gateway.hub import Hub
from direct_contact.gateway.metrics import GatewayMetrics
from direct_contact.gateway.settings import GatewaySettings
from foundation.errors import InvalidInput
from foundation.settings import Settings
from launcher.direct_worker.settings import EndpointSettings
from registry.live import SessionRecord, SessionStore

EVERYWHERE: Final = ("", "0.0.0.0", "::")  # noqa: S104  # compared only


class OwnEndpoint:
    """The `Front` of a worker.

    It admits what a gateway admits: any session with a good credential, whatever its route and
    whoever serves it; those that this worker does not hold are relayed over the broker.
    """

    def __init__(self, settings: Settings, registry: CollectorRegistry = REGISTRY) -> None:
        self.url = ""
        self.port = 0
        self._settings = settings
        self._registry = registry
        self._own = settings[GatewaySettings]
        advertised = settings[EndpointSettings].worker_endpoint_url
        if not advertised and self._own.gateway_host in EVERYWHERE:
            raise InvalidInput(
                "--worker-endpoint-url (DC_WORKER_ENDPOINT_URL) is needed where --gateway-host is "
                f"{self._own.gateway_host!r}: clients cannot connect to that address; for example "
                f"ws://{{host}}:{{port}}{PATH}",
                field="worker_endpoint_url",
            )
        self._advertised = advertised

    async def open(self, broker: Broker, store: SessionStore, host: Host) -> None:
        """Join the host and take clients from now on; see `Front.open`."""
        pool = self._settings[WorkerSettings].worker_pool

        def home(record: SessionRecord) -> str:
            return host.name if record.pool == pool and host.taking.has_room() else ""

        self._hub = hub = Hub(
            name=f"{host.name}-endpoint",
            settings=self._own,
            broker=broker,
            store=store,
            poll=host.poll,
            home=home,
        )
        hub.links.join(host.links)
        self._registry.register(GatewayMetrics(hub))
        await hub.links.open()
        self._endpoint = Endpoint(hub, self._own)
        self.port = await self._endpoint.listen()
        self.url = self._url()

    def _url(self) -> str:
        own = self._own
        if self._advertised:
            return self._advertised.replace("{host}", socket.gethostname()).replace(
                "{port}", str(self.port)
            )
        scheme = "wss" if own.gateway_tls_cert else "ws"
        address = f"[{own.gateway_host}]" if ":" in own.gateway_host else own.gateway_host
        return f"{scheme}://{address}:{self.port}{PATH}"

    async def run(self) -> None:
        """Carry frames until cancelled."""
        await self._hub.run()

    async def drain(self) -> None:
        """Send every client elsewhere; see `Front.drain`."""
        await self._endpoint.drain()
