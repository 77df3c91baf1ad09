from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.integration.rest_api.conftest import DIGITS, RestApi, create_digits, make_key

KEY = {"Idempotency-Key": "a-1"}


@pytest.fixture(autouse=True)
async def _digits(api: httpx.AsyncClient) -> None:
    await create_digits(api)


async def test_answer_is_replayed_when_the_call_is_repeated(api: httpx.AsyncClient) -> None:
    first = await api.post("/v1/sessions", json={"network": "digits"}, headers=KEY)
    again = await api.post("/v1/sessions", json={"network": "digits"}, headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert len((await api.get("/v1/sessions")).json()["items"]) == 1


async def test_key_is_refused_when_it_comes_with_another_call(api: httpx.AsyncClient) -> None:
    await api.post("/v1/sessions", json={"network": "digits"}, headers=KEY)
    for path, body in (
        ("/v1/sessions", {"network": "digits", "version": 1}),
        ("/v1/networks", DIGITS | {"name": "other"}),
    ):
        answer = await api.post(path, json=body, headers=KEY)
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_reused")


async def test_effect_happens_once_when_calls_race(api: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(api.post("/v1/sessions", json={"network": "digits"}, headers=KEY) for _ in range(8))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len((await api.get("/v1/sessions")).json()["items"]) == 1


async def test_key_may_be_used_again_when_its_call_failed(api: httpx.AsyncClient) -> None:
    for _ in range(2):
        answer = await api.post("/v1/sessions", json={"network": "later"}, headers=KEY)
        assert answer.status_code == 404
    await create_digits(api, name="later")
    answer = await api.post("/v1/sessions", json={"network": "later"}, headers=KEY)
    assert answer.status_code == 201


async def test_same_key_of_another_caller_is_another_key(
    rest: RestApi, api: httpx.AsyncClient
) -> None:
    other = await rest.client((await make_key(api, "user"))["key"])
    answers = [
        await client.post("/v1/sessions", json={"network": "digits"}, headers=KEY)
        for client in (api, other)
    ]
    ids = {answer.json()["session"]["id"] for answer in answers}
    assert len(ids) == 2


async def test_new_key_is_replayed_but_not_stored_in_the_clear(
    api: httpx.AsyncClient, tmp_path: Path
) -> None:
    body = {"name": "k", "role": "user"}
    first = await api.post("/v1/keys", json=body, headers=KEY)
    again = await api.post("/v1/keys", json=body, headers=KEY)
    assert again.json()["key"] == first.json()["key"]
    secret = first.json()["key"][13:].encode()
    assert not [name for name, content in _files(tmp_path) if secret in content]


def _files(directory: Path) -> list[tuple[str, bytes]]:
    found = [(file.name, file.read_bytes()) for file in directory.glob("records.db*")]
    assert found
    return found


async def test_upload_is_one_version_when_repeated(api: httpx.AsyncClient) -> None:
    path = "/v1/networks/digits/versions/1/weights"
    weights = (await api.get(path)).content
    versions = [
        (await api.put(path, content=weights, headers=KEY)).json()["version"] for _ in range(2)
    ]
    assert versions == [2, 2]


@pytest.mark.parametrize("key", ["", "x" * 129, "with space"])
async def test_key_is_refused_when_it_is_not_one(api: httpx.AsyncClient, key: str) -> None:
    answer = await api.post(
        "/v1/sessions", json={"network": "digits"}, headers={"Idempotency-Key": key}
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "idempotency-key"
