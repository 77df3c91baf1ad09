"""Answers to those who look for a worker."""

from __future__ import annotations

from typing import Final

from ann_workers.hosting.host import Host
from ann_workers.settings import WorkerSettings
from broker import subjects
from broker.port import Broker, Delivery, Subscription
from protos.dc.internal.v1.envelope_pb2 import Offer, OfferRequest

QUEUE: Final = "workers"
"""The queue group: each request reaches one of its members."""
RESERVATION_S: Final = 1.0
"""An offer counts as a session for this long, so that many askers at once spread out."""


class Offers:
    """Tells how free this worker is.

    Args:
        broker: carries the answers.
        host: holds the sessions.
        settings: of the worker.
        endpoint: where clients stream straight to this worker; empty: nowhere.
    """

    def __init__(
        self, broker: Broker, host: Host, settings: WorkerSettings, *, endpoint: str = ""
    ) -> None:
        self._broker = broker
        self._host = host
        self._settings = settings
        self._endpoint = endpoint
        self._reserved: list[float] = []
        self._subscriptions: list[Subscription] = []

    async def open(self) -> None:
        """Answer from now on, and those who want an endpoint where this worker has one."""
        broker, name, pool = self._broker, self._host.name, self._settings.worker_pool
        self._subscriptions.append(
            await broker.register(
                service="dc-worker",
                version="1.0.0",
                description="An ANN worker of Direct Contact",
                metadata={"name": name, "pool": pool},
                endpoint="offer",
                subject=subjects.offers(pool),
                queue=QUEUE,
                handler=self._answer,
            )
        )
        if self._endpoint:
            subject = subjects.direct_offers(pool)
            self._subscriptions.append(await broker.subscribe(subject, self._answer, queue=QUEUE))

    async def close(self) -> None:
        """Answer no more."""
        for subscription in self._subscriptions:
            await subscription.unsubscribe()

    def _answer(self, delivery: Delivery) -> None:
        """Answer one request; the reply subject is the asker's."""
        now = self._host.now()
        self._reserved = [until for until in self._reserved if until > now]
        host = self._host
        # Sessions whose clients are away give way.
        held = len(host.sessions) - len(host.parking) + len(self._reserved)
        free = max(0.0, 1.0 - held / self._settings.worker_max_sessions)
        if host.taking.draining or not host.lease.good():
            free = 0.0
        elif free:
            self._reserved.append(now + RESERVATION_S)
        request = OfferRequest.FromString(delivery.payload)
        offer = Offer(
            worker=host.name,
            free=free,
            warm=host.networks.loaded(request.network),
            endpoint=self._endpoint,
        )
        host.background.spawn(self._broker.publish(delivery.reply, offer.SerializeToString()))
