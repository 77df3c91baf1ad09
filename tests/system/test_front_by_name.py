"""nginx finds the gateways by a name with several addresses, as in the compose file."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from direct_contact.client import Client
from tests.support.conditions import until
from tests.support.launched import ROOT, LaunchedStack, metric
from tests.support.names import NameServer
from tests.support.nginx import NginxServer
from tests.support.servers import free_port

SESSIONS = 24
"""Each goes to a gateway by chance: that all go to one of two happens once in 8 million runs."""
NETWORK = {
    "name": "named",
    "input": {"datatype": "FP32", "shape": [2]},
    "layers": [{"type": "dense", "units": 1}],
    "loss": "mse",
    "optimizer": {"type": "sgd", "learning_rate": 0.1},
    "seed": 1,
}


async def test_front_finds_the_gateways_when_their_name_has_several_addresses(
    tmp_path: Path,
) -> None:
    port = free_port()
    probe = NginxServer(tmp_path / "probe", port=port, rest="none:1", gateways="none:1")
    nats, redis = free_port(), free_port()
    servers = ("--nats-port", str(nats), "--redis-port", str(redis))
    with (
        LaunchedStack(
            tmp_path / "stack", *servers, "--workers", "1", DC_REST_STREAM_URL=probe.stream_url
        ) as stack,
        NameServer(["127.0.0.1"]) as names,
    ):
        first = stack.service("gateway-1")
        rest_port = stack.ready["rest_url"].rpartition(":")[2]
        nginx = NginxServer(
            tmp_path / "nginx",
            port=port,
            rest=f"rest-api.test:{rest_port}",
            gateways=f"gateway.test:{first['port']}",
            resolver=names.address,
        )
        nginx.start()
        try:
            async with Client(nginx.url, stack.ready["api_key"], tls=nginx.tls) as client:
                await client.create_network(NETWORK)
                await _use(client)
                assert _accepted(first["probe_port"]) == SESSIONS
                probe_port = free_port()
                with _second_gateway(tmp_path, first["port"], probe_port, nats, redis):
                    await until(lambda: _ready(probe_port), timeout_s=60)
                    names.addresses.append("127.0.0.2")
                    # nginx asks again when its answer is older than 2 s.
                    await until(lambda: _reached(client, probe_port), timeout_s=60)
                    before = _accepted(first["probe_port"]), _accepted(probe_port)
                    await _use(client)
                    assert _accepted(first["probe_port"]) > before[0]
                    assert _accepted(probe_port) > before[1]
                # It is gone, and its address is still known: nobody may notice.
                await _use(client)
        finally:
            nginx.stop()


async def _use(client: Client) -> None:
    for _ in range(SESSIONS):
        async with client.session("named") as session:
            await session.infer([0.0, 1.0])


async def _reached(client: Client, probe_port: int) -> bool:
    async with client.session("named") as session:
        await session.infer([0.0, 1.0])
    return _accepted(probe_port) > 0


def _accepted(probe_port: int) -> float:
    return metric(probe_port, "dc_gateway_streams_accepted_total")


def _ready(probe_port: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{probe_port}/readyz").status_code == 200
    return False


@contextlib.contextmanager
def _second_gateway(
    folder: Path, port: int, probe_port: int, nats: int, redis: int
) -> Iterator[None]:
    """A gateway on the same port of another address, as another container's is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DC_")}
    variables = {
        "DC_NATS_URL": f"nats://127.0.0.1:{nats}",
        "DC_REDIS_URL": f"redis://127.0.0.1:{redis}/0",
        "DC_GATEWAY_HOST": "127.0.0.2",
        "DC_GATEWAY_PORT": str(port),
        "DC_PROBE_PORT": str(probe_port),
    }
    with (folder / "gateway.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "direct_contact"],
            cwd=ROOT, env={**kept, **variables}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        code = process.wait(30)
    assert code == 0, (folder / "gateway.log").read_text()[-4000:]
