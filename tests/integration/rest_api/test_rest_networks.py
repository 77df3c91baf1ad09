from __future__ import annotations

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import load, save

from registry.live import SessionStore
from tests.integration.rest_api.conftest import DIGITS, create_digits, open_session


async def test_network_is_created_with_version_1_that_is_live(api: httpx.AsyncClient) -> None:
    created = await create_digits(api)
    assert (created["name"], created["version"], created["aliases"]) == ("digits", 1, {"live": 1})
    assert created["parameters"] == 64 * 8 + 8 + 8 * 10 + 10
    assert (created["stateful"], created["trainable"]) == (False, True)
    read = await api.get("/v1/networks/digits")
    assert read.json() == created
    assert (await api.get("/v1/networks")).json() == {"items": [created], "next_cursor": None}


async def test_network_is_refused_when_its_name_is_taken(api: httpx.AsyncClient) -> None:
    await create_digits(api)
    answer = await api.post("/v1/networks", json=DIGITS)
    assert answer.status_code == 409
    assert answer.json()["code"] == "network_exists"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"layers": [{"type": "dense", "units": 0}]}, "layers.0.units"),
        ({"layers": [{"type": "dense", "units": 10**9}]}, "layers.0.units"),
        ({"layers": [{"type": "dence", "units": 3}]}, "layers.0.type"),
        ({"layers": []}, "layers"),
        ({"name": "No Name"}, "name"),
        ({"surprise": 1}, "surprise"),
        ({"input": {"shape": [0]}}, "input.shape.0"),
    ],
)
async def test_network_is_refused_with_the_field_when_its_spec_is_wrong(
    api: httpx.AsyncClient, changes: dict[str, Any], field: str
) -> None:
    answer = await api.post("/v1/networks", json=DIGITS | changes)
    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json()["errors"]]


async def test_network_is_refused_when_it_has_too_many_parameters(start_rest: Any) -> None:
    rest = await start_rest(rest_max_parameters=100)
    answer = await (await rest.client(rest.admin_key)).post("/v1/networks", json=DIGITS)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "layers.0.units"
    assert "100" in answer.json()["detail"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"null"])
async def test_network_is_refused_when_the_body_is_no_object(
    api: httpx.AsyncClient, content: bytes
) -> None:
    answer = await api.post(
        "/v1/networks", content=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


async def test_weights_come_down_and_go_up_as_a_new_version(api: httpx.AsyncClient) -> None:
    created = await create_digits(api)
    down = await api.get("/v1/networks/digits/versions/live/weights")
    assert down.headers["content-type"] == "application/octet-stream"
    assert down.headers["etag"] == f'"{created["weights"]}"'
    arrays = load(down.content)
    assert arrays["layers.0.weight"].shape == (8, 64)
    changed = {name: array + 1 for name, array in arrays.items()}
    up = await api.put(
        "/v1/networks/digits/versions/1/weights",
        content=save(changed),
        headers={"Content-Type": "application/octet-stream"},
    )
    assert up.status_code == 201, up.text
    version = up.json()
    assert (version["version"], version["source"], version["parent"]) == (2, "upload", 1)
    assert version["aliases"] == []
    assert up.headers["location"] == "/v1/networks/digits/versions/2"
    again = load((await api.get("/v1/networks/digits/versions/latest/weights")).content)
    assert all(np.array_equal(again[name], changed[name]) for name in changed)


async def test_live_follows_an_upload_only_when_promoted(api: httpx.AsyncClient) -> None:
    await create_digits(api)
    weights = (await api.get("/v1/networks/digits/versions/1/weights")).content
    path = "/v1/networks/digits/versions/1/weights"
    await api.put(path, content=weights)
    assert (await api.get("/v1/networks/digits")).json()["aliases"] == {"live": 1}
    promoted = await api.put(path, content=weights, params={"promote": "true"})
    assert promoted.json()["aliases"] == ["live"]
    network = (await api.get("/v1/networks/digits")).json()
    assert (network["version"], network["aliases"]) == (3, {"live": 3})


@pytest.mark.parametrize("content", [b"", b"garbage", save({"x": np.zeros(3, np.float32)})])
async def test_weights_are_refused_when_they_do_not_fit(
    api: httpx.AsyncClient, content: bytes
) -> None:
    await create_digits(api)
    answer = await api.put("/v1/networks/digits/versions/1/weights", content=content)
    assert answer.status_code == 422
    assert (await api.get("/v1/networks/digits")).json()["version"] == 1


async def test_aliases_move_and_go(api: httpx.AsyncClient) -> None:
    await create_digits(api)
    path = "/v1/networks/digits/aliases/stable"
    assert (await api.get(path)).status_code == 404
    put = await api.put(path, json={"version": "live"})
    assert put.json() == {"alias": "stable", "version": 1}
    assert (await api.get(path)).json() == {"alias": "stable", "version": 1}
    assert (await api.put(path, json={"version": 9})).status_code == 404
    assert (await api.delete(path)).status_code == 204
    assert (await api.get(path)).status_code == 404
    latest = await api.get("/v1/networks/digits/aliases/latest")
    assert latest.json() == {"alias": "latest", "version": 1}
    refused = await api.put("/v1/networks/digits/aliases/latest", json={"version": 1})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "alias")


async def test_versions_are_listed_in_pages_newest_first(api: httpx.AsyncClient) -> None:
    await create_digits(api)
    weights = (await api.get("/v1/networks/digits/versions/1/weights")).content
    for _ in range(2):
        await api.put("/v1/networks/digits/versions/1/weights", content=weights)
    seen, cursor = [], None
    for _ in range(2):
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await api.get("/v1/networks/digits/versions", params=params)).json()
        seen += [version["version"] for version in page["items"]]
        cursor = page["next_cursor"]
    assert (seen, cursor) == ([3, 2, 1], None)


@pytest.mark.parametrize("limit", ["0", "201", "x"])
async def test_page_is_refused_when_the_limit_is_out_of_range(
    api: httpx.AsyncClient, limit: str
) -> None:
    answer = await api.get("/v1/networks", params={"limit": limit})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "limit"


async def test_network_in_use_is_kept_and_the_session_named(
    api: httpx.AsyncClient, store: SessionStore
) -> None:
    await create_digits(api)
    session = (await open_session(api))["session"]["id"]
    for path in ("/v1/networks/digits", "/v1/networks/digits/versions/1"):
        answer = await api.delete(path)
        assert answer.status_code == 409
        assert session in answer.json()["detail"]
    # As its worker does when the client says goodbye.
    await store.end(session, epoch=None, reason="bye")
    assert (await api.delete("/v1/networks/digits")).status_code == 204
    assert (await api.get("/v1/networks/digits")).status_code == 404
    ended = (await api.get(f"/v1/sessions/{session}")).json()
    assert (ended["state"], ended["ended_reason"]) == ("ended", "bye")


async def test_deleted_version_is_gone_and_its_number_is_not_used_again(
    api: httpx.AsyncClient,
) -> None:
    await create_digits(api)
    path = "/v1/networks/digits/versions/1/weights"
    weights = (await api.get(path)).content
    await api.put(path, content=weights)
    assert (await api.delete("/v1/networks/digits/versions/1")).status_code == 409
    assert (await api.delete("/v1/networks/digits/versions/2")).status_code == 204
    assert (await api.get("/v1/networks/digits/versions/2")).status_code == 404
    assert (await api.put(path, content=weights)).json()["version"] == 3


@pytest.mark.parametrize(
    "path",
    [
        "/v1/networks/nothing",
        "/v1/networks/nothing/versions",
        "/v1/networks/nothing/versions/1",
        "/v1/networks/nothing/versions/1/weights",
        "/v1/networks/nothing/aliases/live",
    ],
)
async def test_unknown_network_is_404(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "network_not_found")


async def test_name_is_given_once_when_calls_race(api: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(api.post("/v1/networks", json=DIGITS) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5


async def test_network_of_another_backend_is_recorded_as_it_comes(api: httpx.AsyncClient) -> None:
    body = {"name": "mean", "backend": "running-mean", "spec": {"size": 3}, "stateful": True}
    answer = await api.post("/v1/networks", json=body)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["backend"], made["spec"], made["weights"]) == ("running-mean", {"size": 3}, "")
    assert (made["stateful"], made["trainable"]) == (True, False)
    missing = await api.get("/v1/networks/mean/versions/1/weights")
    assert (missing.status_code, missing.json()["code"]) == (404, "no_weights")
    upload = await api.put("/v1/networks/mean/versions/1/weights", content=b"weights")
    assert (upload.status_code, upload.json()["code"]) == (409, "other_backend")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"backend": "no name"}, "backend"),
        ({"backend": 3}, "backend"),
        ({"backend": "onnx"}, "backend"),
        ({"spec": []}, "spec"),
        ({"spec": {"text": "x" * 70_000}}, "spec"),
        ({"stateful": "yes"}, "stateful"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_network_of_another_backend_is_refused_with_the_field_when_it_is_wrong(
    api: httpx.AsyncClient, changes: dict[str, Any], field: str
) -> None:
    body = {"name": "mean", "backend": "running-mean", "spec": {}} | changes
    answer = await api.post("/v1/networks", json=body)
    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json()["errors"]]
