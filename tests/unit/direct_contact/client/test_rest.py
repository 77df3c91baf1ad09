from __future__ import annotations

import httpx
import pytest

from direct_contact.client import Client
from direct_contact.client.rest import ERRORS, RestConnection, retry_after_s, to_error
from foundation import errors
from tests.support.scripted_stream import ScriptedStream

NETWORK = {
    "name": "digits",
    "version": 2,
    "aliases": {"live": 1},
    "spec": {"name": "digits"},
    "stateful": False,
    "trainable": True,
    "something_new": 1,
}
VERSION = {"network": "digits", "version": 3, "aliases": [], "spec": {}, "source": "upload"}


@pytest.mark.parametrize(("status", "kind"), ERRORS.items())
def test_problem_becomes_the_error_of_its_status(
    status: int, kind: type[errors.DirectContactError]
) -> None:
    problem = {
        "detail": "units: at most 10, got 11",
        "code": "too_many",
        "errors": [{"field": "layers.0.units", "message": "at most 10, got 11"}],
    }
    error = to_error(httpx.Response(status, json=problem, headers={"Retry-After": "3"}))
    assert type(error) is kind
    assert error.message == "units: at most 10, got 11"
    assert error.code == "too_many"
    assert error.field == "layers.0.units"
    assert error.retry_after_s == 3.0


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"text"', b'{"errors": [1]}'])
def test_other_bodies_give_an_error_all_the_same(body: bytes) -> None:
    error = to_error(httpx.Response(502, content=body))
    assert isinstance(error, errors.Unavailable)
    assert error.message == "Bad Gateway"
    assert isinstance(to_error(httpx.Response(418, content=body)), errors.CallerError)
    assert isinstance(to_error(httpx.Response(507, content=body)), errors.InternalError)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("2", 2.0), ("0.5", 0.5), ("-1", 0.0), ("Wed, 21 Oct 2015 07:28:00 GMT", None), (None, None)],
)
def test_retry_after_is_read(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header) == seconds


def connection(*answers: httpx.Response | Exception, patience_s: float = 5.0) -> RestConnection:
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer key"
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return RestConnection(
        "http://test/", "key", patience_s=patience_s, transport=httpx.MockTransport(answer)
    )


BUSY = {"Retry-After": "0"}


async def test_call_is_repeated_while_the_api_is_busy() -> None:
    busy = httpx.Response(503, headers=BUSY)
    rest = connection(busy, busy, httpx.Response(200, json={"a": 1}))
    assert await rest.json("GET", "things") == {"a": 1}
    await rest.close()


async def test_call_gives_up_when_the_api_asks_for_more_than_its_patience() -> None:
    rest = connection(httpx.Response(503, headers={"Retry-After": "60"}), patience_s=1)
    with pytest.raises(errors.Unavailable) as caught:
        await rest.json("GET", "things")
    assert caught.value.retry_after_s == 60
    await rest.close()


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (httpx.ConnectError("refused"), "rest_unreachable"),
        (httpx.ReadError(""), "rest_unreachable"),
        (httpx.ReadTimeout("slow"), "rest_timeout"),
    ],
)
async def test_call_translates_what_the_transport_raises(failure: Exception, code: str) -> None:
    rest = connection(failure)
    with pytest.raises(errors.Unavailable, match="GET http://test/v1/things") as caught:
        await rest.call("GET", "things")
    assert caught.value.code == code
    await rest.close()


async def test_json_refuses_what_is_no_object() -> None:
    rest = connection(httpx.Response(200, json=[1]))
    with pytest.raises(errors.InternalError):
        await rest.json("GET", "things")
    await rest.close()


async def test_pages_are_followed_to_the_last() -> None:
    rest = connection(
        httpx.Response(200, json={"items": [{"n": 1}, {"n": 2}], "next_cursor": "c"}),
        httpx.Response(200, json={"items": [{"n": 3}], "next_cursor": None}),
    )
    assert [one["n"] async for one in rest.pages("things")] == [1, 2, 3]
    await rest.close()


async def test_client_speaks_the_api(stream: ScriptedStream) -> None:
    page = {"next_cursor": None}
    worker = {
        "name": "w",
        "pool": "default",
        "state": "ready",
        "sessions": 1,
        "capacity": 9,
        "networks": ["digits:1"],
    }
    key = {"id": "abcdefgh", "name": "k", "role": "user", "tenant": "default"}
    info = {"id": "s", "network": "digits", "version": 1, "state": "open", "config": {}}
    stream.answers = {
        ("POST", "networks"): [(201, NETWORK)],
        ("GET", "networks"): [(200, {"items": [NETWORK], **page})],
        ("GET", "networks/digits"): [(200, NETWORK)],
        ("DELETE", "networks/digits"): [(204, None)],
        ("GET", "networks/digits/versions"): [(200, {"items": [VERSION], **page})],
        ("PUT", "networks/digits/aliases/best"): [(200, {"alias": "best", "version": 3})],
        ("GET", "networks/digits/versions/live/weights"): [
            (200, httpx.Response(200, content=b"w"))
        ],
        ("PUT", "networks/digits/versions/1/weights"): [(201, VERSION)],
        ("GET", "workers"): [(200, {"items": [worker], **page})],
        ("GET", "pools"): [(200, {"items": [{"name": "default", "replicas": 2}], **page})],
        ("GET", "pools/default"): [(200, {"name": "default", "replicas": 2})],
        ("PATCH", "pools/default"): [(200, {"name": "default", "replicas": 4, "ready": 2})],
        ("POST", "keys"): [(201, {**key, "key": "dck_text"})],
        ("GET", "keys"): [(200, {"items": [key], **page})],
        ("DELETE", "keys/abcdefgh"): [(204, None)],
        ("GET", "sessions"): [(200, {"items": [info], **page})],
    }
    async with stream.client() as client:
        network = await client.create_network({"name": "digits"})
        assert (network.name, network.version, network.aliases) == ("digits", 2, {"live": 1})
        assert await client.network("digits") == network
        assert await client.networks() == [network]
        assert [one.version for one in await client.versions("digits")] == [3]
        await client.set_alias("digits", "best", 3)
        assert await client.get_weights("digits", "live") == b"w"
        made = await client.put_weights("digits", 1, b"\x80weights", promote=True)
        assert made.version == 3
        await client.delete_network("digits")
        assert [one.name for one in await client.workers()] == ["w"]
        assert [one.name for one in await client.workers("default")] == ["w"]
        assert [one.replicas for one in await client.pools()] == [2]
        assert (await client.pool("default")).replicas == 2
        assert (await client.scale("default", 4)).replicas == 4
        assert (await client.create_key("k", "user", tenant="t")).key == "dck_text"
        assert [one.id for one in await client.keys()] == ["abcdefgh"]
        await client.delete_key("abcdefgh")
        assert [one.id for one in await client.sessions("digits")] == ["s"]
        await client.end_session("ses_test")
    assert stream.called("PATCH", "pools/default") == [{"replicas": 4}]
    assert stream.called("PUT", "networks/digits/aliases/best") == [{"version": 3}]
    assert stream.called("PUT", "networks/digits/versions/1/weights") == [b"\x80weights"]
    assert stream.called("POST", "keys") == [{"name": "k", "role": "user", "tenant": "t"}]


async def test_creating_calls_carry_an_idempotency_key() -> None:
    keys: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers.get("Idempotency-Key"))
        if len(keys) == 1:
            return httpx.Response(503, headers=BUSY)
        return httpx.Response(201, json=NETWORK)

    async with Client("http://test", "key", transport=httpx.MockTransport(answer)) as client:
        await client.create_network({"name": "digits"})
        await client.network("digits")
    assert keys[0] == keys[1] is not None
    assert keys[2] is None
