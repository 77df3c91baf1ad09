"""Where a session's stream is opened, and the ticket that opens it."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from broker import placement
from broker.port import Broker
from foundation.clock import unix_ms
from foundation.errors import Unavailable
from registry.live import SessionRecord, SessionStore, WorkerDirectory
from rest_api.problems import WorkerUnavailable
from rest_api.sessions.schemas import Stream
from rest_api.shapes import timestamp


class Address(NamedTuple):
    """Where to open a stream: `fallback_url` when nobody answers at `url`."""

    url: str
    fallback_url: str | None = None


class Streams:
    """Finds addresses by the session's route, and issues tickets.

    Args:
        store: issues the tickets.
        workers: tells which of them have an endpoint.
        broker: asks workers for offers.
        gateway_urls: one for each gateway, or one of a balancer before them all.
        ticket_ttl_s: how long a ticket is good.
    """

    def __init__(
        self,
        store: SessionStore,
        workers: WorkerDirectory,
        broker: Broker,
        *,
        gateway_urls: tuple[str, ...],
        ticket_ttl_s: float,
    ) -> None:
        self._store = store
        self._workers = workers
        self._broker = broker
        self._gateway_urls = gateway_urls
        self._ticket_ttl_s = ticket_ttl_s

    async def first(self, record: SessionRecord) -> Address:
        """Where a new session's stream is.

        Raises:
            WorkerUnavailable: its route is direct, and no worker with an endpoint offered itself.
        """
        return await self._direct(record) if record.direct else self._gateway()

    async def again(self, record: SessionRecord, owner: str) -> Address:
        """Where the stream of a session is that may have been served; `owner` "": nobody owns it.

        It never fails for want of an endpoint: a gateway reaches every worker.
        """
        if not record.direct:
            return self._gateway()
        worker = await self._workers.find(owner) if owner else None
        if worker is not None:
            if not worker.endpoint or worker.state != "ready":
                return self._gateway()
            return Address(worker.endpoint, self._gateway().url)
        try:
            return await self._direct(record)
        except WorkerUnavailable:
            return self._gateway()

    async def open(self, record: SessionRecord, address: Address) -> Stream:
        """The stream of a new session, which the store knows from then on, at that address."""
        expires_ms = self._expires_ms()
        ticket = await self._store.open(record, ttl_s=self._ticket_ttl_s)
        return _stream(address, ticket, expires_ms)

    async def ticket(self, session: str, address: Address) -> Stream:
        """A new ticket for the session's stream at that address."""
        expires_ms = self._expires_ms()
        ticket = await self._store.issue_ticket(session, ttl_s=self._ticket_ttl_s)
        return _stream(address, ticket, expires_ms)

    def _expires_ms(self) -> int:
        return unix_ms() + int(self._ticket_ttl_s * 1000)

    def _gateway(self) -> Address:
        # Any of them: all can serve every session.
        return Address(secrets.choice(self._gateway_urls))

    async def _direct(self, record: SessionRecord) -> Address:
        try:
            offer = await placement.place(
                self._broker, pool=record.pool, network=record.network_key, direct=True
            )
        except Unavailable as error:
            if error.code == "workers_full":
                raise WorkerUnavailable(
                    error.message, code=error.code, retry_after_s=error.retry_after_s
                ) from error
            if error.code != "no_worker":
                raise
            raise WorkerUnavailable(
                f"config.route is 'direct', but no worker of the pool {record.pool!r} has a stream "
                "endpoint of its own: run workers as `python -m launcher.direct_worker`, or open "
                "the session with the route 'broker'",
                code="no_direct_worker",
                retry_after_s=error.retry_after_s,
            ) from error
        return Address(offer.endpoint, self._gateway().url)


def _stream(address: Address, ticket: str, expires_ms: int) -> Stream:
    return Stream(
        url=address.url,
        fallback_url=address.fallback_url,
        subprotocol="dc.v1",
        ticket=ticket,
        expires_at=timestamp(expires_ms),
    )
