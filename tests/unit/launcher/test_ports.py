from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundation.errors import InvalidInput
from launcher.embedded import free_port, in_use
from launcher.supervisor import PortsInUse, StackOptions
from launcher.supervisor.options import decide_ports


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_port_is_in_use_when_somebody_listens(taken: int) -> None:
    assert in_use("127.0.0.1", taken)
    assert not in_use("127.0.0.1", free_port())


def test_ports_name_every_one_that_is_taken_when_several_are(taken: int) -> None:
    options = StackOptions(data_dir=Path("d"), port=taken, stream_port=taken, redis_port=taken)
    with pytest.raises(PortsInUse) as caught:
        decide_ports(options)
    lines = caught.value.message.splitlines()
    assert [line.split("choose another with ")[1].split(",")[0] for line in lines] == [
        "--port",
        "--stream-port",
        "--redis-port",
    ]
    assert all(f"port {taken} on 127.0.0.1" in line for line in lines)


def test_ports_are_in_a_row_when_there_are_several_gateways() -> None:
    ports = decide_ports(
        StackOptions(port=1234, stream_port=2000, gateways=3), taken=lambda _host, _port: False
    )
    assert ports.rest == 1234
    assert ports.stream == (2000, 2001, 2002)


def test_ports_differ_when_all_are_left_free() -> None:
    ports = decide_ports(StackOptions(port=0, stream_port=0, gateways=4))
    assert len({ports.rest, ports.nats, ports.redis, *ports.stream}) == 7


def test_ports_refuse_a_given_port_twice_when_two_parts_want_it() -> None:
    with pytest.raises(PortsInUse, match="--stream-port"):
        decide_ports(StackOptions(port=7000, stream_port=7000), taken=lambda _host, _port: False)


def test_ports_name_the_option_when_the_host_is_not_of_this_machine() -> None:
    with pytest.raises(InvalidInput, match=r"192\.0\.2\.1.*--host"):
        decide_ports(StackOptions(host="192.0.2.1", port=0))


def test_embedded_ports_are_not_decided_when_servers_are_given() -> None:
    ports = decide_ports(StackOptions(port=0, stream_port=0, nats_url="nats://h", redis_url="r"))
    assert (ports.nats, ports.redis) == (0, 0)
