"""Every state of the session machines and every transition between them, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import TypeVar

from foundation.errors import ProtocolViolation


class ClientState(Enum):
    """The client's end of a session."""

    DISCONNECTED = "disconnected"
    GREETING = "greeting"
    OPEN = "open"
    ENDED = "ended"


class ServerState(Enum):
    """The gateway's end of one attachment."""

    AWAITING_HELLO = "awaiting_hello"
    ATTACHING = "attaching"
    OPEN = "open"
    MOVING = "moving"
    CLOSED = "closed"


CLIENT: Mapping[tuple[ClientState, str], ClientState] = MappingProxyType(
    {
        (ClientState.DISCONNECTED, "connected"): ClientState.GREETING,
        (ClientState.GREETING, "welcome"): ClientState.OPEN,
        (ClientState.GREETING, "disconnected"): ClientState.DISCONNECTED,
        (ClientState.OPEN, "disconnected"): ClientState.DISCONNECTED,
        (ClientState.DISCONNECTED, "ended"): ClientState.ENDED,
        (ClientState.GREETING, "ended"): ClientState.ENDED,
        (ClientState.OPEN, "ended"): ClientState.ENDED,
    }
)

SERVER: Mapping[tuple[ServerState, str], ServerState] = MappingProxyType(
    {
        (ServerState.AWAITING_HELLO, "hello"): ServerState.ATTACHING,
        (ServerState.ATTACHING, "attached"): ServerState.OPEN,
        (ServerState.ATTACHING, "worker_lost"): ServerState.ATTACHING,
        (ServerState.OPEN, "worker_lost"): ServerState.MOVING,
        (ServerState.MOVING, "worker_lost"): ServerState.MOVING,
        (ServerState.MOVING, "attached"): ServerState.OPEN,
        (ServerState.AWAITING_HELLO, "closed"): ServerState.CLOSED,
        (ServerState.ATTACHING, "closed"): ServerState.CLOSED,
        (ServerState.OPEN, "closed"): ServerState.CLOSED,
        (ServerState.MOVING, "closed"): ServerState.CLOSED,
        (ServerState.CLOSED, "closed"): ServerState.CLOSED,
    }
)

StateT = TypeVar("StateT", ClientState, ServerState)


def step(table: Mapping[tuple[StateT, str], StateT], state: StateT, event: str) -> StateT:
    """The state after `event`.

    Raises:
        ProtocolViolation: the table has no such transition.
    """
    try:
        return table[state, event]
    except KeyError:
        raise ProtocolViolation(
            f"'{event}' is not allowed in the state '{state.value}'", code="unexpected_message"
        ) from None
