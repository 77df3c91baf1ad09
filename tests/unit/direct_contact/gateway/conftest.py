"""A gateway's hub on a broker in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from broker.memory import MemoryBroker, MemoryHub
from direct_contact.gateway.hub import Hub
from direct_contact.gateway.settings import GatewaySettings
from foundation.busy_poll import BusyPoll
from registry.live import SessionStore


class Store:
    """A session store that takes what it is told."""

    async def confirm(self, session: str, number: int) -> None: ...


@pytest.fixture
async def broker() -> AsyncIterator[MemoryBroker]:
    broker = MemoryBroker(MemoryHub())
    yield broker
    await broker.close()


@pytest.fixture
def hub(broker: MemoryBroker) -> Hub:
    own: dict[str, Any] = {}
    return Hub(
        name="hub",
        settings=GatewaySettings(**own),
        broker=broker,
        store=cast("SessionStore", Store()),
        poll=BusyPoll(0.0),
    )
