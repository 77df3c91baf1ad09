"""The stack behind Debian's nginx with the configuration of docker/: one origin over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from direct_contact.client import Client
from launcher.demo.placement import scale_to
from launcher.demo.run import Report, show
from launcher.demo.screen import SilentScreen
from tests.support.conditions import until
from tests.support.launched import LaunchedStack, metric
from tests.support.nginx import NginxServer
from tests.support.servers import free_port

REST_LIMIT_BYTES = 1 << 20
FRONT_LIMIT = "2m"
GATEWAYS = ("gateway-1", "gateway-2")
RECURRENT: dict[str, Any] = {
    "name": "front",
    "input": {"datatype": "FP32", "shape": [4]},
    "layers": [{"type": "gru", "units": 8}, {"type": "dense", "units": 2}],
    "loss": "mse",
    "optimizer": {"type": "adam", "learning_rate": 0.01},
    "seed": 2,
}


@dataclass(frozen=True)
class Origin:
    """A stack and the nginx before it."""

    stack: LaunchedStack
    nginx: NginxServer

    @property
    def api_key(self) -> str:
        key: str = self.stack.ready["api_key"]
        return key

    def client(self) -> Client:
        return Client(self.nginx.url, self.api_key, tls=self.nginx.tls)

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.nginx.url,
            headers={"Authorization": f"Bearer {self.api_key}"},
            verify=self.nginx.tls,
            timeout=30,
        )

    def accepted(self) -> list[float]:
        """Streams that each gateway accepted."""
        ports = [self.stack.service(label)["probe_port"] for label in GATEWAYS]
        return [metric(port, "dc_gateway_streams_accepted_total") for port in ports]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    folder = tmp_path_factory.mktemp("origin")
    port = free_port()
    # Made before the stack, so that a missing nginx is told at once.
    probe = NginxServer(folder / "probe", port=port, rest="none:1", gateways="none:1")
    options = ("--gateways", "2", "--workers", "2")
    variables = {
        "DC_REST_STREAM_URL": probe.stream_url,
        "DC_REST_MAX_BODY_BYTES": str(REST_LIMIT_BYTES),
    }
    with LaunchedStack(folder / "stack", *options, **variables) as stack:
        nginx = NginxServer(
            folder / "nginx",
            port=port,
            rest="rest",
            gateways="gateways",
            groups={
                "rest": [stack.ready["rest_url"].removeprefix("http://")],
                "gateways": [f"127.0.0.1:{stack.service(one)['port']}" for one in GATEWAYS],
            },
            max_body=FRONT_LIMIT,
        )
        nginx.start()
        try:
            yield Origin(stack, nginx)
        finally:
            nginx.stop()


def test_nginx_accepts_the_configuration_when_it_checks_it(origin: Origin) -> None:
    done = origin.nginx.check()
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr


@pytest.mark.timeout(300)
async def test_front_carries_the_five_steps_of_the_demo_to_both_gateways(origin: Origin) -> None:
    before = origin.accepted()
    report = Report()
    async with origin.client() as client:
        await scale_to(client, 2)
        await show(client, SilentScreen(), report, workers=2)
    assert report.accuracy >= 0.95
    assert report.largest_difference <= 1e-5
    for gateway, earlier, now in zip(GATEWAYS, before, origin.accepted(), strict=True):
        assert now - earlier >= 4, f"{gateway} accepted too few of the demo's streams"


async def test_stream_goes_on_when_first_one_and_then_the_other_gateway_is_killed(
    origin: Origin,
) -> None:
    rows = np.random.default_rng(5).standard_normal((30, 4), dtype=np.float32)
    async with origin.client() as client:
        network = await client.create_network(RECURRENT)
        async with client.session(network.name) as session:
            whole = [await session.infer(row) for row in rows]
        async with client.session(network.name) as session:
            parts = [await session.infer(row) for row in rows[:10]]
            for turn, label in enumerate(GATEWAYS, start=1):
                await _kill(origin.stack, label)
                parts += [await session.infer(row) for row in rows[10 * turn : 10 * turn + 10]]
            assert session.stats.reconnects >= 1
    assert np.allclose(np.stack(parts), np.stack(whole), atol=1e-6)


async def _kill(stack: LaunchedStack, label: str) -> None:
    """Kill a gateway, and return when the launcher has started it again."""
    old = stack.service(label)["pid"]
    os.kill(old, signal.SIGKILL)

    def back() -> bool:
        now = stack.service(label)
        return now["pid"] != old and _listens(now["port"])

    await until(back, timeout_s=60)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


async def test_weights_pass_both_ways_when_they_go_through_the_front(origin: Origin) -> None:
    spec = {**RECURRENT, "name": "weights"}
    async with origin.client() as client:
        await client.create_network(spec)
        weights = await client.get_weights("weights", 1)
        version = await client.put_weights("weights", 1, weights)
        assert version.version == 2
        assert await client.get_weights("weights", 2) == weights


async def test_session_names_the_public_stream_when_it_is_made_through_the_front(
    origin: Origin,
) -> None:
    async with origin.client() as client, origin.http() as http:
        await client.create_network({**RECURRENT, "name": "public"})
        answer = await http.post("/v1/sessions", json={"network": "public"})
    assert answer.status_code == 201
    assert answer.json()["stream"]["url"] == origin.nginx.stream_url


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/v1/nothing", 404, "not_found"),
        ("/nothing", 404, "not_found"),
        ("/v1/stream/nothing", 404, "not_found"),
        ("/metrics", 404, "metrics are not served to the outside"),
        ("/v1/stream", 426, "You need a WebSocket client"),
    ],
)
async def test_front_answers_clearly_when_a_path_is_wrong(
    origin: Origin, path: str, status: int, said: str
) -> None:
    async with origin.http() as http:
        answer = await http.get(path)
    assert answer.status_code == status
    assert said in answer.text
    assert "<html" not in answer.text


async def test_front_serves_the_probes_and_pages_with_security_headers(origin: Origin) -> None:
    async with origin.http() as http:
        for path in ("/readyz", "/docs"):
            answer = await http.get(path)
            assert answer.status_code == 200
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
            assert answer.headers["Server"] == "nginx"
            assert "Retry-After" not in answer.headers


@pytest.mark.parametrize(
    ("size", "said"),
    [(REST_LIMIT_BYTES + 1, f"the limit is {REST_LIMIT_BYTES}"), (3 << 20, FRONT_LIMIT)],
    ids=["rest", "nginx"],
)
async def test_body_is_refused_clearly_when_it_is_over_a_limit(
    origin: Origin, size: int, said: str
) -> None:
    async with origin.http() as http:
        answer = await http.put("/v1/networks/front/versions/1/weights", content=b"\0" * size)
    assert answer.status_code == 413
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["status"]) == ("body_too_large", 413)
    assert said in problem["detail"]


@pytest.mark.parametrize(
    ("credential", "code"),
    [
        ("dc.ticket.Zm9yZ2Vk", "bad_ticket"),
        ("dc.ticket.", "credential_malformed"),
        ("other", "credential_missing"),
    ],
)
async def test_stream_is_refused_clearly_when_the_ticket_is_bad(
    origin: Origin, credential: str, code: str
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await connect(
            origin.nginx.stream_url,
            subprotocols=["dc.v1", credential],  # type: ignore[list-item]
            ssl=origin.nginx.tls,
        )
    response = caught.value.response
    assert response.status_code == 401
    assert "WWW-Authenticate" in response.headers
    assert bytes(response.body or b"").decode().startswith(f"{code}: ")


async def test_key_is_asked_for_when_none_comes_through_the_front(origin: Origin) -> None:
    async with origin.http() as http:
        answer = await http.get("/v1/networks", headers={"Authorization": ""})
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_front_asks_for_tls_when_clear_text_comes(origin: Origin) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"http://127.0.0.1:{origin.nginx.port}/v1/networks")
    assert answer.status_code == 400
    assert answer.json()["code"] == "tls_required"


async def test_front_refuses_old_tls_when_a_client_offers_no_other(origin: Origin) -> None:
    context = origin.nginx.tls
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(
            "127.0.0.1", origin.nginx.port, ssl=context, server_hostname="localhost"
        )


async def test_front_says_when_to_try_again_when_nothing_answers_behind_it(
    tmp_path: Path,
) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    nginx = NginxServer(tmp_path, port=free_port(), rest=nobody, gateways=nobody)
    nginx.start()
    try:
        async with httpx.AsyncClient(base_url=nginx.url, verify=nginx.tls) as http:
            for path in ("/v1/networks", "/v1/stream"):
                answer = await http.get(path)
                assert answer.status_code == 503
                assert answer.headers["Retry-After"] == "1"
                assert answer.json()["code"] == "unavailable"
    finally:
        nginx.stop()
