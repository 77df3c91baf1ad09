from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from broker.nats import NatsBroker
from broker.port import Delivery
from broker.subjects import POOLS_CHANGED
from registry.live import WorkerDirectory, WorkerInfo
from tests.integration.rest_api.conftest import RestApi, create_digits, open_session
from tests.support.conditions import until
from tests.support.servers import NatsServer, RedisServer, free_port


async def test_probes_answer_without_a_key(rest: RestApi) -> None:
    client = await rest.client(None)
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json() == {"status": "ready", "missing": {}}
    await client.get("/v1/nothing")
    metrics = (await client.get("/metrics")).text
    assert 'dc_rest_requests_total{method="GET",route="/readyz",status="200"} 1.0' in metrics
    assert 'dc_rest_requests_total{method="GET",route="unmatched",status="401"} 1.0' in metrics
    assert 'dc_rest_request_seconds_count{method="GET",route="/healthz"} 1.0' in metrics


async def test_readyz_names_redis_when_it_is_gone(
    start_rest: Any, own_redis_server: RedisServer
) -> None:
    rest = await start_rest(redis_url=own_redis_server.url)
    client = await rest.client(rest.admin_key)
    await create_digits(client)
    own_redis_server.kill()
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert list(answer.json()["missing"]) == ["redis"]
    failed = await client.post("/v1/sessions", json={"network": "digits"})
    assert failed.status_code == 503
    assert "127.0.0.1" not in failed.text
    assert failed.headers["retry-after"] == "1"
    own_redis_server.start()

    async def ready() -> bool:
        return (await client.get("/readyz")).status_code == 200

    await until(ready)
    await open_session(client)


async def test_description_is_openapi_3_1(rest: RestApi) -> None:
    client = await rest.client(None)
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    create = document["paths"]["/v1/networks"]["post"]
    schema = create["requestBody"]["content"]["application/json"]["schema"]
    assert {"$ref": "#/components/schemas/NetworkSpec"} in schema["anyOf"]
    assert create["security"] == [{"ApiKey": []}]
    assert "application/problem+json" in create["responses"]["4XX"]["content"]
    references = set(_references(document))
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references <= known
    assert (await client.get("/docs")).status_code == 200


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [one for value in node.values() for one in _references(value)]
    if isinstance(node, list):
        return [one for value in node for one in _references(value)]
    return []


async def test_body_is_refused_when_it_is_too_large(start_rest: Any) -> None:
    rest = await start_rest(rest_max_body_bytes=2000)
    client = await rest.client(rest.admin_key)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b" " * 100

    for content in (b" " * 2001, endless()):
        answer = await client.post(
            "/v1/networks", content=content, headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert "2000" in answer.json()["detail"]
    await create_digits(client)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("GET", "/nothing", 404), ("PUT", "/v1/networks", 405)],
)
async def test_unknown_paths_and_methods_are_problems(
    api: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await api.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


async def test_unexpected_error_is_a_problem_without_its_text(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret of ours")

    monkeypatch.setattr(WorkerDirectory, "list", fail)
    answer = await api.get("/v1/workers")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text


async def test_workers_are_listed_by_name(api: httpx.AsyncClient, redis: Redis) -> None:
    directory = WorkerDirectory(redis)
    for name, pool in (("w-2", "default"), ("w-1", "gpu"), ("w-3", "default")):
        await directory.announce(
            WorkerInfo(name, pool, "host", 1, 2, 64, 1000, "ready", ["digits:1"]), 60_000
        )
    first = (await api.get("/v1/workers", params={"limit": "2"})).json()
    assert [worker["name"] for worker in first["items"]] == ["w-1", "w-2"]
    second = await api.get("/v1/workers", params={"limit": "2", "cursor": first["next_cursor"]})
    assert [worker["name"] for worker in second.json()["items"]] == ["w-3"]
    gpu = (await api.get("/v1/workers", params={"pool": "gpu"})).json()["items"]
    assert gpu == [
        {
            "name": "w-1",
            "pool": "gpu",
            "host": "host",
            "pid": 1,
            "state": "ready",
            "sessions": 2,
            "capacity": 64,
            "networks": ["digits:1"],
            "endpoint": None,
            "started_at": "1970-01-01T00:00:01Z",
        }
    ]


async def test_pool_is_scaled_and_whoever_listens_is_told(
    start_rest: Any, redis: Redis, broker: NatsBroker
) -> None:
    rest = await start_rest(rest_default_replicas=2)
    api = await rest.client(rest.admin_key)
    told: list[Delivery] = []
    await broker.subscribe(POOLS_CHANGED, told.append)
    await broker.flush()
    pool = (await api.get("/v1/pools/default")).json()
    assert (pool["replicas"], pool["ready"]) == (2, 0)
    await WorkerDirectory(redis).announce(WorkerInfo("w-1", "default", capacity=64), 60_000)
    scaled = (await api.patch("/v1/pools/default", json={"replicas": 4})).json()
    assert (scaled["replicas"], scaled["ready"], scaled["capacity"]) == (4, 1, 64)
    await until(lambda: told)
    assert json.loads(told[0].payload) == {"pool": "default", "replicas": 4}
    assert (await api.get("/v1/pools")).json()["items"] == [scaled]
    for replicas in (-1, 1001, "4", None):
        answer = await api.patch("/v1/pools/default", json={"replicas": replicas})
        assert answer.json()["errors"][0]["field"] == "replicas"
    assert (await api.patch("/v1/pools/other", json={"replicas": 1})).status_code == 404


async def test_ended_sessions_are_swept(start_rest: Any, redis: Redis, store: Any) -> None:
    rest = await start_rest(rest_sweep_interval_s=0.05)
    api = await rest.client(rest.admin_key)
    await create_digits(api)
    session = (await open_session(api))["session"]["id"]
    await store.end(session, epoch=None, reason="bye")

    async def swept() -> bool:
        return bool((await api.get(f"/v1/sessions/{session}")).json()["ended_at"])

    await until(swept)


class Process:
    """`python -m rest_api` as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ended(self) -> tuple[int, str]:
        async with asyncio.timeout(30):
            _, err = await self.process.communicate()
        return self.process.returncode or 0, err.decode()


async def run(**variables: str) -> Process:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DC_")} | variables
    return Process(
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "rest_api",
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    )


async def test_process_tells_when_it_is_ready_and_ends_with_0_on_sigterm(
    nats_server: NatsServer, redis_server: RedisServer, redis: Redis, tmp_path: Path
) -> None:
    ready = tmp_path / "ready.json"
    started = await run(
        DC_NATS_URL=nats_server.url,
        DC_REDIS_URL=redis_server.url,
        DC_DATABASE_URL=f"sqlite:///{tmp_path}/records.db",
        DC_REST_PORT="0",
        DC_READY_FILE=str(ready),
    )
    await until(ready.exists, timeout_s=30)
    told = json.loads(ready.read_text())
    assert (told["name"], told["pid"]) == ("rest-api", started.process.pid)
    async with httpx.AsyncClient(trust_env=False) as client:
        url = f"http://127.0.0.1:{told['port']}/readyz"
        assert (await client.get(url)).json()["status"] == "ready"
    started.process.send_signal(signal.SIGTERM)
    assert (await started.ended())[0] == 0


async def test_process_names_the_port_and_the_flag_when_it_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, told = await (await run(DC_REST_PORT=str(port))).ended()
    assert status == 1
    (line,) = told.splitlines()
    assert str(port) in line
    assert "--rest-port" in line


@pytest.mark.parametrize("missing", ["redis", "nats"])
async def test_process_waits_then_names_what_it_cannot_reach(
    nats_server: NatsServer, redis_server: RedisServer, tmp_path: Path, missing: str
) -> None:
    nothing = free_port()
    urls = {"DC_NATS_URL": nats_server.url, "DC_REDIS_URL": redis_server.url}
    urls |= (
        {"DC_REDIS_URL": f"redis://127.0.0.1:{nothing}/0"}
        if missing == "redis"
        else {"DC_NATS_URL": f"nats://127.0.0.1:{nothing}"}
    )
    started = await run(
        **urls,
        DC_DATABASE_URL=f"sqlite:///{tmp_path}/records.db",
        DC_REST_PORT="0",
        DC_CONNECT_TIMEOUT_S="4",
    )
    status, told = await started.ended()
    assert status == 1
    assert "waiting for" in told
    assert told.splitlines()[-1].startswith("rest_api: ")
    assert str(nothing) in told.splitlines()[-1]
    assert "Traceback" not in told


async def test_process_ends_with_0_when_it_is_stopped_while_it_waits(tmp_path: Path) -> None:
    started = await run(
        DC_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0",
        DC_DATABASE_URL=f"sqlite:///{tmp_path}/records.db",
        DC_REST_PORT="0",
    )
    assert started.process.stderr is not None
    assert b"waiting for" in await started.process.stderr.readline()
    started.process.send_signal(signal.SIGTERM)
    assert (await started.ended())[0] == 0


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"DC_REST_ADMIN_KEY": "sesame"}, "DC_REST_ADMIN_KEY"),
        ({"DC_REST_TLS_CERT": "/nowhere.pem"}, "DC_REST_TLS_CERT"),
        ({"DC_DATABASE_URL": "sqlite:////nowhere/at/all.db"}, "/nowhere/at/all.db"),
    ],
)
async def test_process_names_the_setting_that_is_wrong(
    nats_server: NatsServer,
    redis_server: RedisServer,
    tmp_path: Path,
    variables: dict[str, str],
    told: str,
) -> None:
    given = {
        "DC_NATS_URL": nats_server.url,
        "DC_REDIS_URL": redis_server.url,
        "DC_DATABASE_URL": f"sqlite:///{tmp_path}/records.db",
        "DC_REST_PORT": "0",
    }
    status, text = await (await run(**(given | variables))).ended()
    assert status == 1
    assert told in text.splitlines()[-1]
    assert "sesame" not in text
