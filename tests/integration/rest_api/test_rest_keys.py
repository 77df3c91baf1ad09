from __future__ import annotations

from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from registry.records.keys import new_key_text
from tests.integration.rest_api.conftest import DIGITS, RestApi, create_digits, make_key


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer nonsense",
        f"Bearer {new_key_text()}",
        f"Basic {new_key_text()}",
        "Bearer " + "x" * 5000,
        "Bearer ä",
    ],
)
@pytest.mark.parametrize("path", ["/v1/networks", "/v1/sessions", "/v1/nothing", "/v1"])
async def test_call_is_401_without_a_key(rest: RestApi, path: str, header: str | None) -> None:
    client = await rest.client(None)
    headers = {} if header is None else {"Authorization": header.encode()}
    answer = await client.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["code"] == "unauthenticated"


async def test_key_is_shown_once_and_listed_without_its_text(api: httpx.AsyncClient) -> None:
    made = await make_key(api, "user")
    listed = await api.get("/v1/keys")
    assert made["key"] not in listed.text
    assert made["key"][13:] not in listed.text
    assert made["id"] in [key["id"] for key in listed.json()["items"]]


async def test_deleted_key_is_refused_at_once_though_it_was_cached(
    rest: RestApi, api: httpx.AsyncClient, redis: Redis
) -> None:
    made = await make_key(api, "user")
    client = await rest.client(made["key"])
    assert (await client.get("/v1/networks")).status_code == 200
    assert (await client.get("/v1/networks")).status_code == 200
    (entry,) = [key async for key in redis.scan_iter("dc:cache:key:*") if await _tells(redis, key)]
    assert 0 < await redis.ttl(entry) <= 300
    assert (await api.delete(f"/v1/keys/{made['id']}")).status_code == 204
    assert (await client.get("/v1/networks")).status_code == 401
    assert (await api.delete(f"/v1/keys/{made['id']}")).status_code == 404


async def _tells(redis: Redis, key: bytes) -> bool:
    return b'"user"' in (await redis.get(key) or b"")


async def test_last_admin_key_is_kept(rest: RestApi, api: httpx.AsyncClient) -> None:
    identity = rest.admin_key[4:12]
    answer = await api.delete(f"/v1/keys/{identity}")
    assert (answer.status_code, answer.json()["code"]) == (409, "last_admin")
    assert (await api.get("/v1/keys")).status_code == 200


CALLS: list[tuple[str, str, Any, str]] = [
    ("GET", "/v1/networks", None, "viewer"),
    ("GET", "/v1/workers", None, "viewer"),
    ("GET", "/v1/pools/default", None, "viewer"),
    ("GET", "/v1/networks/digits/versions/1/weights", None, "viewer"),
    ("POST", "/v1/sessions", {"network": "digits"}, "user"),
    ("POST", "/v1/networks", DIGITS | {"name": "other"}, "user"),
    ("PATCH", "/v1/pools/default", {"replicas": 3}, "operator"),
    ("GET", "/v1/keys", None, "admin"),
    ("POST", "/v1/keys", {"name": "k", "role": "viewer"}, "admin"),
]
ROLES = ["viewer", "user", "operator", "admin"]


@pytest.mark.parametrize(("method", "path", "body", "needed"), CALLS)
async def test_call_needs_its_role(
    rest: RestApi, api: httpx.AsyncClient, method: str, path: str, body: Any, needed: str
) -> None:
    await create_digits(api)
    for role in ROLES:
        client = await rest.client((await make_key(api, role))["key"])
        answer = await client.request(method, path, json=body)
        if ROLES.index(role) < ROLES.index(needed):
            assert (answer.status_code, answer.json()["code"]) == (403, "role_too_low")
        else:
            assert answer.status_code in {200, 201, 409}


async def test_tenants_admin_manages_its_own_keys_only(
    rest: RestApi, api: httpx.AsyncClient
) -> None:
    other = await rest.client((await make_key(api, "admin", tenant="other"))["key"])
    assert (await make_key(other, "user"))["tenant"] == "other"
    for answer in (
        await other.post("/v1/keys", json={"name": "k", "role": "user", "tenant": "default"}),
        await other.get("/v1/keys", params={"tenant": "default"}),
    ):
        assert answer.status_code == 403
    assert (await other.delete(f"/v1/keys/{rest.admin_key[4:12]}")).status_code == 404
    mine = (await api.get("/v1/keys", params={"tenant": "other"})).json()["items"]
    assert {key["role"] for key in mine} == {"admin", "user"}


async def test_keys_work_without_the_cache(
    rest: RestApi, api: httpx.AsyncClient, redis: Redis
) -> None:
    await redis.flushdb()
    assert (await api.get("/v1/networks")).status_code == 200


async def test_admin_key_is_printed_once_when_none_is_given(
    start_rest: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = await start_rest(rest_admin_key="")
    text = capsys.readouterr().out.split()[-1]
    assert (await (await rest.client(text)).get("/v1/keys")).status_code == 200
    await start_rest(rest_admin_key="")
    assert capsys.readouterr().out == ""
