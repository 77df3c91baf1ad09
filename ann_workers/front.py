"""What may stand before a worker in its own process: an endpoint where clients stream to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ann_workers.hosting.host import Host
from broker.port import Broker
from registry.live import SessionStore

Check = Callable[[], str | None]
"""Answers None when all is well, or what is missing."""


class Front(Protocol):
    """An endpoint of a worker's own. The worker calls all of this, in the order below."""

    url: str
    """Where clients reach it; empty before `open`."""
    port: int

    async def open(self, broker: Broker, store: SessionStore, host: Host) -> None:
        """Join the host and take clients from now on.

        Raises:
            InvalidInput: a setting is wrong.
            OSError: the port is in use.
        """

    async def run(self) -> None:
        """Carry frames until cancelled."""

    async def drain(self) -> None:
        """Send every client elsewhere; returns when they have gone, or their time is over."""
