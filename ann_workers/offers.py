"""Answers to those who look for a worker."""

from __future__ import annotations

import logging
from typing import Final

from ann_workers.hosting.host import Host
from ann_workers.settings import WorkerSettings
from broker.port import Broker, Delivery
from protos.dc.internal.v1.envelope_pb2 import Offer, OfferRequest

logger = logging.getLogger(__name__)

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

    def answer(self, delivery: Delivery) -> None:
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
