"""ONNX files over REST: created, versioned, refused."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest
from onnx import helper

from tests.integration.rest_api.conftest import create_digits, open_session
from tests.support import onnx_models as models


async def post(
    api: httpx.AsyncClient, data: bytes, *, headers: dict[str, str] | None = None, **fields: Any
) -> httpx.Response:
    return await api.post(
        "/v1/networks",
        data={"name": "net"} | fields,
        files={"file": ("model.onnx", data, "application/octet-stream")},
        headers=headers,
    )


def problem(answer: httpx.Response) -> tuple[int, str, str, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    field = (told.get("errors") or [{}])[0].get("field", "")
    return answer.status_code, told["code"], field, told["detail"]


async def test_network_is_created_from_a_file(api: httpx.AsyncClient) -> None:
    data = models.running_sum(axis=1)
    answer = await post(api, data, state=json.dumps(models.SUM_STATE))
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == "/v1/networks/net"
    made = answer.json()
    assert (made["backend"], made["version"], made["aliases"]) == ("onnx", 1, {"live": 1})
    assert (made["stateful"], made["trainable"]) == (True, False)
    assert [one["name"] for one in made["spec"]["inputs"]] == ["x"]
    assert made["spec"]["batching"] == "across sessions"
    assert (await api.get("/v1/networks/net")).json() == made
    down = await api.get("/v1/networks/net/versions/live/weights")
    assert down.content == data


async def test_network_says_that_it_is_computed_one_by_one_when_its_batch_is_fixed(
    api: httpx.AsyncClient,
) -> None:
    answer = await post(api, models.linear(rows=1))
    assert answer.status_code == 201
    assert answer.json()["spec"]["batching"] == "one by one: no input has a free first axis"
    assert answer.json()["parameters"] == 6


async def test_creating_is_repeatable_with_an_idempotency_key(api: httpx.AsyncClient) -> None:
    client = httpx.AsyncClient(base_url=api.base_url, headers=api.headers, trust_env=False)
    async with client:
        request = client.build_request(
            "POST",
            "/v1/networks",
            data={"name": "net"},
            files={"file": ("m", models.linear())},
            headers={"Idempotency-Key": "once"},
        )
        await request.aread()
        first, second = await client.send(request), await client.send(request)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(
    ("data", "code", "told"),
    [
        (b"", "not_onnx", "0 bytes that are not an ONNX model"),
        (b"\x89PNG\r\n", "not_onnx", "not an ONNX model"),
        (models.custom_operator(), "custom_operator", "'Frobnicate'"),
        (models.external_data(), "external_data", "'w' lies in another file"),
        (models.huge_initializer(), "tensor_too_large", str(4 << 40)),
        (models.huge_constant(), "tensor_too_large", str(4 << 40)),
        (
            models.file(
                [helper.make_node("Identity", ["x"], ["y"])],
                [models.tensor("x", [1])],
                [models.tensor("y", [1])],
                opset=500,
            ),
            "opset_too_new",
            "opset 500 is too new",
        ),
        (
            models.file(
                [helper.make_node("MatMul", ["x", "w"], ["y"])],
                [models.tensor("x", ["batch", 4])],
                [models.tensor("y", ["batch", 2])],
                stored={"w": np.zeros((3, 2), np.float32)},
            ),
            "not_loadable",
            "can't load it",
        ),
    ],
)
async def test_file_is_refused_with_the_reason_when_it_cannot_be_served(
    api: httpx.AsyncClient, data: bytes, code: str, told: str
) -> None:
    status, came, field, detail = problem(await post(api, data))
    assert (status, came, field) == (422, code, "file")
    assert told in detail
    assert (await api.get("/v1/networks")).json()["items"] == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"state": "{"}, "state"),
        ({"state": '[{"input": "s"}]'}, "state.0.output"),
        ({"state": '[{"input": "s", "output": "t", "initial": "ones"}]'}, "state.0.initial"),
        ({"state": '[{"input": "nope", "output": "t"}]'}, "state.0.input"),
        ({"name": "No Name"}, "name"),
        ({"batch": "sometimes"}, "batch"),
        ({"surprise": "1"}, "surprise"),
    ],
)
async def test_form_is_refused_with_the_field_when_it_is_wrong(
    api: httpx.AsyncClient, fields: dict[str, str], field: str
) -> None:
    answer = await post(api, models.running_sum(), **fields)
    assert problem(answer)[0] == 422
    assert field in [error["field"] for error in answer.json()["errors"]]


async def test_form_is_refused_when_it_has_no_file(api: httpx.AsyncClient) -> None:
    answer = await api.post(
        "/v1/networks", data={"name": "net"}, files={"other": ("m", models.linear())}
    )
    assert problem(answer)[:3] == (422, "missing", "file")


async def test_form_is_refused_when_it_does_not_parse(api: httpx.AsyncClient) -> None:
    answer = await api.post(
        "/v1/networks", content=b"--x\r\n", headers={"Content-Type": "multipart/form-data"}
    )
    assert problem(answer)[:2] == (422, "bad_form")


async def test_file_is_refused_when_it_is_over_the_limit(start_rest: Any) -> None:
    rest = await start_rest(rest_max_model_bytes=1024)
    answer = await post(await rest.client(rest.admin_key), b"x" * 1025)
    status, code, field, detail = problem(answer)
    assert (status, code, field) == (413, "model_too_large", "file")
    assert "1025 bytes, the limit is 1024" in detail


async def test_file_may_be_larger_than_other_bodies(start_rest: Any) -> None:
    rest = await start_rest(rest_max_body_bytes=4096)
    client = await rest.client(rest.admin_key)
    stored = {"w": np.zeros((3, 5000), np.float32)}
    data = models.file(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [models.tensor("x", ["batch", 3])],
        [models.tensor("y", ["batch", 5000])],
        stored=stored,
    )
    assert (await post(client, data)).status_code == 201
    refused = await client.post("/v1/networks", json={"name": "x" * 5000})
    assert refused.status_code == 413


async def test_name_that_is_taken_is_refused(api: httpx.AsyncClient) -> None:
    assert (await post(api, models.linear())).status_code == 201
    assert problem(await post(api, models.linear()))[:2] == (409, "network_exists")


async def test_another_file_becomes_a_version_when_its_tensors_are_the_same(
    api: httpx.AsyncClient,
) -> None:
    await post(api, models.running_sum(), state=json.dumps(models.SUM_STATE))
    path = "/v1/networks/net/versions/1/weights"
    again = await api.put(path, content=models.running_sum(), params={"promote": "true"})
    assert again.status_code == 201, again.text
    assert (again.json()["version"], again.json()["parent"]) == (2, 1)
    assert problem(await api.put(path, content=models.linear()))[2] == "state.0.input"


async def test_another_file_is_refused_when_its_tensors_differ(api: httpx.AsyncClient) -> None:
    await post(api, models.linear())
    path = "/v1/networks/net/versions/1/weights"
    status, code, _, detail = problem(await api.put(path, content=models.centred()))
    assert (status, code) == (422, "signature")
    assert "its outputs are not those of version 1" in detail


async def test_version_in_use_is_not_deleted_and_its_sessions_are_named(
    api: httpx.AsyncClient,
) -> None:
    await post(api, models.linear())
    session = (await open_session(api, network="net"))["session"]["id"]
    for path in ("/v1/networks/net", "/v1/networks/net/versions/1"):
        status, code, _, detail = problem(await api.delete(path))
        assert (status, code) == (409, "in_use")
        assert session in detail


async def test_onnx_network_cannot_be_trained(api: httpx.AsyncClient) -> None:
    await post(api, models.linear())
    answer = await api.post("/v1/sessions", json={"network": "net", "config": {"mode": "train"}})
    assert problem(answer)[:2] == (422, "not_trainable")


async def test_description_tells_of_both_bodies(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    content = document["paths"]["/v1/networks"]["post"]["requestBody"]["content"]
    assert content["application/json"]["schema"]["anyOf"] == [
        {"$ref": "#/components/schemas/NetworkSpec"},
        {"$ref": "#/components/schemas/OtherNetworkIn"},
    ]
    assert content["multipart/form-data"]["schema"]["required"] == ["name", "file"]
    await create_digits(api)


async def test_created_network_comes_down_as_a_file_that_comes_up_again(
    api: httpx.AsyncClient,
) -> None:
    layers = [{"type": "gru", "units": 4}, {"type": "dense", "units": 2}]
    spec = {"name": "made", "input": {"shape": [3]}, "layers": layers}
    assert (await api.post("/v1/networks", json=spec)).status_code == 201
    down = await api.get("/v1/networks/made/versions/live/onnx")
    assert down.status_code == 200
    state = [{"input": "hidden.0", "output": "hidden.0.next"}]
    up = await post(api, down.content, state=json.dumps(state))
    assert up.status_code == 201, up.text
    assert up.json()["stateful"]
    assert up.json()["spec"]["batching"] == "across sessions"
    again = await api.get("/v1/networks/net/versions/1/onnx")
    assert again.content == down.content


async def test_network_of_another_backend_has_no_file(api: httpx.AsyncClient) -> None:
    await api.post("/v1/networks", json={"name": "other", "backend": "mine"})
    answer = await api.get("/v1/networks/other/versions/1/onnx")
    assert problem(answer)[:2] == (409, "other_backend")
