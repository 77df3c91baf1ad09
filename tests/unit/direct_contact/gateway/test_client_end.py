"""What a client is told, and when nothing is told any more."""

from __future__ import annotations

import pytest

from direct_contact.gateway.client_end import ClientEnd
from direct_contact.gateway.stats import GatewayStats
from direct_contact.session import CloseCode
from foundation.errors import LimitExceeded
from protos.dc.v1.stream_pb2 import ServerFrame


class Socket:
    """Keeps what goes through it."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closes: list[int] = []

    def send(self, message: bytes | str) -> None:
        assert isinstance(message, bytes)
        self.sent.append(message)

    def close(self, code: int, reason: str) -> None:
        self.closes.append(code)


@pytest.fixture
def client() -> ClientEnd:
    return ClientEnd(GatewayStats())


@pytest.fixture
def socket(client: ClientEnd) -> Socket:
    socket = Socket()
    client.opened(socket)
    return socket


def test_client_end_sends_nothing_when_its_socket_is_gone(
    client: ClientEnd, socket: Socket
) -> None:
    client.send(b"one")
    client.send(b"")
    client.closed()
    client.send(b"two")
    assert socket.sent == [b"one"]


def test_client_end_remembers_the_first_code_when_it_is_closed_twice(
    client: ClientEnd, socket: Socket
) -> None:
    assert client.told == 0
    client.close(CloseCode.TOO_SLOW, "slow")
    client.close(CloseCode.DRAINING, "going away")
    assert client.told == CloseCode.TOO_SLOW
    assert socket.closes[0] == CloseCode.TOO_SLOW


def test_client_end_tells_the_error_before_the_close_when_it_fails(
    client: ClientEnd, socket: Socket
) -> None:
    client.fail(LimitExceeded("too many"))
    (frame,) = socket.sent
    assert ServerFrame.FromString(frame).error.message == "too many"
    assert socket.closes == [CloseCode.QUOTA]
