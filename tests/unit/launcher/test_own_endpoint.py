"""What a worker with an endpoint of its own tells clients to connect to."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from direct_contact.gateway.settings import GatewaySettings
from foundation.errors import InvalidInput
from foundation.settings import Settings
from launcher.direct_worker.front import OwnEndpoint
from launcher.direct_worker.settings import EndpointSettings


def endpoint(url: str = "", **gateway: Any) -> OwnEndpoint:
    """One that listens on port 9001."""
    settings = Settings([EndpointSettings(worker_endpoint_url=url), GatewaySettings(**gateway)])
    front = OwnEndpoint(settings, CollectorRegistry())
    front.port = 9001
    return front


@pytest.mark.parametrize(
    ("url", "gateway", "expected"),
    [
        ("", {}, "ws://127.0.0.1:9001/v1/stream"),
        ("", {"gateway_host": "::1"}, "ws://[::1]:9001/v1/stream"),
        ("", {"gateway_tls_cert": "tls.crt"}, "wss://127.0.0.1:9001/v1/stream"),
        ("wss://w1.example.org/v1/stream", {}, "wss://w1.example.org/v1/stream"),
        (
            "ws://{host}:{port}/v1/stream",
            {"gateway_host": "0.0.0.0"},  # noqa: S104  # nothing listens
            f"ws://{socket.gethostname()}:9001/v1/stream",
        ),
    ],
)
def test_endpoint_is_advertised_where_clients_reach_it(
    url: str, gateway: dict[str, Any], expected: str
) -> None:
    assert endpoint(url, **gateway)._url() == expected


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104  # nothing listens
def test_endpoint_is_refused_when_it_listens_everywhere_and_has_no_url(host: str) -> None:
    with pytest.raises(InvalidInput, match=r"--worker-endpoint-url .*DC_WORKER_ENDPOINT_URL"):
        endpoint(gateway_host=host)


@pytest.mark.parametrize("url", ["http://w1:9001", "ws://a, ws://b", "w1:9001"])
def test_endpoint_url_is_refused_when_it_is_not_one_of_a_stream(url: str) -> None:
    with pytest.raises(ValueError, match="worker_endpoint_url"):
        EndpointSettings(worker_endpoint_url=url)
