"""What the gateway asks of a WebSocket server: a port without tasks, locks or awaits per frame."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """An HTTP request that asks to become a stream."""

    path: str
    subprotocols: tuple[str, ...]
    authorization: str
    peer: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer in place of the upgrade."""

    status: int
    message: str
    headers: tuple[tuple[str, str], ...] = field(default=())


class Socket(Protocol):
    """One accepted stream."""

    def send(self, message: bytes | str) -> None:
        """Queue a message, bytes as binary, str as text. Never waits; nothing after a close.

        When more than `max_buffered_bytes` wait to be read, the handler is told by `slow`.
        """

    def close(self, code: int, reason: str) -> None:
        """Say goodbye; the link is cut when the peer does not answer in time."""


class SocketHandler(Protocol):
    """Whoever owns an accepted stream. All calls come from the event loop, in order."""

    def opened(self, socket: Socket) -> None:
        """The upgrade is done."""

    def messages(self, batch: list[bytes]) -> None:
        """Whole binary messages came: what one read held of them, in order."""

    def text(self, message: str) -> None:
        """A whole text message came."""

    def slow(self, buffered_bytes: int) -> None:
        """The peer does not read: close."""

    def closed(self, code: int, reason: str) -> None:
        """The link is gone; told once, last."""


Acceptor = Callable[[UpgradeRequest], Awaitable[SocketHandler | Refusal]]


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """The bounds of one connection."""

    max_message_bytes: int
    max_buffered_bytes: int
    handshake_timeout_s: float = 10.0
    close_timeout_s: float = 5.0
    headers_bytes: int = 16 * 1024
