from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from protos.dc.v1 import stream_pb2
from registry.live import SessionStore
from registry.networks.store import BUCKET, NetworkStore
from tests.integration.rest_api.conftest import (
    RestApi,
    Start,
    Worker,
    create_digits,
    make_key,
    open_session,
)


@pytest.fixture(autouse=True)
async def _digits(api: httpx.AsyncClient) -> None:
    await create_digits(api)


async def command(api: httpx.AsyncClient, opened: dict[str, Any], **body: Any) -> httpx.Response:
    return await api.post(f"/v1/sessions/{opened['session']['id']}/commands", json=body)


async def test_session_comes_with_a_ticket_that_attaches_once(
    api: httpx.AsyncClient, store: SessionStore
) -> None:
    opened = await open_session(api, config={"delivery": "commit_first", "resume_ttl_s": 60})
    session, stream = opened["session"], opened["stream"]
    assert session["state"] == "open"
    assert session["worker"] is None
    assert session["config"] == {
        "delivery": "commit_first",
        "resume_ttl_s": 60,
        "mode": "infer",
        "pool": "default",
        "route": "broker",
    }
    assert stream["url"] == "ws://127.0.0.1:8765/v1/stream"
    assert stream["fallback_url"] is None
    assert stream["subprotocol"] == "dc.v1"
    attachment = await store.attach(stream["ticket"], "ticket", gateway="gw-1")
    assert attachment.record.id == session["id"]
    assert attachment.record.config["delivery"] == "commit_first"
    assert attachment.record.config["route"] == "broker"
    assert (await api.get(f"/v1/sessions/{session['id']}")).json()["state"] == "attached"
    await store.detach(session["id"], attachment.number)
    assert (await api.get(f"/v1/sessions/{session['id']}")).json()["state"] == "detached"


async def test_another_ticket_is_minted_for_a_living_session(
    api: httpx.AsyncClient, store: SessionStore
) -> None:
    opened = await open_session(api)
    path = f"/v1/sessions/{opened['session']['id']}/tickets"
    answer = await api.post(path)
    assert answer.status_code == 201
    ticket = answer.json()["stream"]["ticket"]
    assert ticket != opened["stream"]["ticket"]
    await store.attach(ticket, "ticket", gateway="gw-1")
    await api.delete(f"/v1/sessions/{opened['session']['id']}")
    assert (await api.post(path)).json()["code"] == "session_ended"


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"network": "nothing"}, 404, None),
        ({"network": "digits", "version": 7}, 404, None),
        ({"network": "digits", "version": "stable"}, 404, None),
        ({"network": "digits", "version": 0}, 422, "version"),
        ({}, 422, "network"),
        ({"network": "digits", "config": {"mode": "dream"}}, 422, "config.mode"),
        ({"network": "digits", "config": {"resume_ttl_s": 0}}, 422, "config.resume_ttl_s"),
        ({"network": "digits", "config": {"pool": "nowhere"}}, 422, "config.pool"),
        ({"network": "digits", "config": {"surprise": 1}}, 422, "config.surprise"),
    ],
)
async def test_session_is_refused_when_the_call_is_wrong(
    api: httpx.AsyncClient, body: dict[str, Any], status: int, field: str | None
) -> None:
    answer = await api.post("/v1/sessions", json=body)
    assert answer.status_code == status
    fields = [error["field"] for error in answer.json()["errors"]]
    assert fields == ([] if field is None else [field])
    assert (await api.get("/v1/sessions")).json()["items"] == []


async def test_session_cannot_train_when_the_network_cannot(api: httpx.AsyncClient) -> None:
    await create_digits(api, name="fixed", loss=None, optimizer=None)
    answer = await api.post("/v1/sessions", json={"network": "fixed", "config": {"mode": "train"}})
    assert (answer.status_code, answer.json()["code"]) == (422, "not_trainable")


async def test_sessions_are_listed_newest_first_with_their_state(
    api: httpx.AsyncClient, worker: Worker
) -> None:
    first, second = await open_session(api), await open_session(api)
    await worker.own(first)
    page = (await api.get("/v1/sessions", params={"limit": "1"})).json()
    assert [item["id"] for item in page["items"]] == [second["session"]["id"]]
    rest = await api.get("/v1/sessions", params={"limit": "1", "cursor": page["next_cursor"]})
    (item,) = rest.json()["items"]
    assert item["id"] == first["session"]["id"]
    assert (item["state"], item["worker"], item["epoch"] > 0) == ("attached", worker.name, True)


async def test_session_ends_in_the_store_when_deleted(
    api: httpx.AsyncClient, store: SessionStore, worker: Worker
) -> None:
    opened = await open_session(api)
    session = opened["session"]["id"]
    await worker.own(opened)
    for _ in range(2):
        assert (await api.delete(f"/v1/sessions/{session}")).status_code == 204
    assert [one.kind for one in worker.commands] == [stream_pb2.COMMAND_KIND_CLOSE]
    (live,) = await store.read([session])
    assert live is None or live.ended_reason
    ended = (await api.get(f"/v1/sessions/{session}")).json()
    assert (ended["state"], ended["ended_reason"]) == ("ended", "closed")
    assert ended["ended_at"] is not None


async def test_session_of_a_dead_worker_ends_when_deleted(
    api: httpx.AsyncClient, store: SessionStore
) -> None:
    opened = await open_session(api)
    attachment = await store.attach(opened["stream"]["ticket"], "ticket", gateway="gw-1")
    await store.take(attachment.record, worker="worker-gone", above_epoch=0)
    session = opened["session"]["id"]
    assert (await api.delete(f"/v1/sessions/{session}")).status_code == 204
    assert (await api.get(f"/v1/sessions/{session}")).json()["state"] == "ended"


async def test_configuration_changes_freely_before_the_first_attach(
    api: httpx.AsyncClient, store: SessionStore
) -> None:
    opened = await open_session(api)
    path = f"/v1/sessions/{opened['session']['id']}"
    answer = await api.patch(path, json={"config": {"resume_ttl_s": 5, "mode": "train"}})
    assert answer.status_code == 200, answer.text
    assert answer.json()["config"]["resume_ttl_s"] == 5
    attachment = await store.attach(opened["stream"]["ticket"], "ticket", gateway="gw-1")
    assert (attachment.record.config["mode"], attachment.record.resume_ttl_s) == ("train", 5)
    late = await api.patch(path, json={"config": {"resume_ttl_s": 9}})
    assert (late.status_code, late.json()["code"]) == (409, "already_attached")


async def test_mode_of_a_running_session_changes_by_a_command(
    api: httpx.AsyncClient, worker: Worker
) -> None:
    opened = await open_session(api)
    await worker.own(opened)
    path = f"/v1/sessions/{opened['session']['id']}"
    for _ in range(2):
        answer = await api.patch(path, json={"config": {"mode": "train"}})
        assert answer.json()["config"]["mode"] == "train"
    assert [one.kind for one in worker.commands] == [stream_pb2.COMMAND_KIND_TRAIN]


async def test_command_reaches_the_owner_and_brings_its_answer(
    api: httpx.AsyncClient, worker: Worker
) -> None:
    opened = await open_session(api)
    await worker.own(opened)
    worker.result = {"paused": True}
    answer = await command(api, opened, type="pause", after_seq=5, command_id="p-1")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "command_id": "p-1",
        "type": "pause",
        "after_seq": 17,
        "result": {"paused": True},
    }
    (sent,) = worker.commands
    assert (sent.kind, sent.after_seq) == (stream_pb2.COMMAND_KIND_PAUSE, 5)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"type": "dance"}, "type"),
        ({}, "type"),
        ({"type": "pause", "after_seq": -1}, "after_seq"),
        ({"type": "restore"}, "arguments.version"),
        ({"type": "restore", "arguments": {"version": []}}, "arguments.version"),
        ({"type": "snapshot", "arguments": {"promote": "yes"}}, "arguments.promote"),
        ({"type": "pause", "arguments": {"x": "y" * 70_000}}, "arguments"),
    ],
)
async def test_command_is_refused_with_the_field_when_it_is_wrong(
    api: httpx.AsyncClient, worker: Worker, body: dict[str, Any], field: str
) -> None:
    opened = await open_session(api)
    await worker.own(opened)
    answer = await command(api, opened, **body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert worker.commands == []


async def test_command_conflicts_when_nobody_owns_the_session(api: httpx.AsyncClient) -> None:
    opened = await open_session(api)
    answer = await command(api, opened, type="pause")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_attached")
    assert (await command(api, opened, type="close")).status_code == 200
    assert (await command(api, opened, type="pause")).status_code == 404


async def test_command_follows_the_session_when_its_worker_died(
    api: httpx.AsyncClient, worker: Worker, store: SessionStore
) -> None:
    opened = await open_session(api)
    attachment = await store.attach(opened["stream"]["ticket"], "ticket", gateway="gw-1")
    dead = await store.take(attachment.record, worker="worker-gone", above_epoch=0)
    task = asyncio.create_task(command(api, opened, type="pause"))
    await store.take(attachment.record, worker=worker.name, above_epoch=dead.epoch)
    assert (await task).status_code == 200


async def test_command_tells_to_try_again_when_no_worker_answers(
    rest: RestApi, start_rest: Start, store: SessionStore
) -> None:
    impatient = await start_rest(rest_command_timeout_s=0.2)
    api = await impatient.client(rest.admin_key)
    opened = await open_session(api)
    attachment = await store.attach(opened["stream"]["ticket"], "ticket", gateway="gw-1")
    await store.take(attachment.record, worker="worker-gone", above_epoch=0)
    answer = await command(api, opened, type="pause", command_id="p-1")
    assert (answer.status_code, answer.json()["code"]) == (503, "command_timeout")
    assert "p-1" in answer.json()["detail"]
    assert answer.headers["retry-after"] == "1"


async def test_workers_refusal_is_told(api: httpx.AsyncClient, worker: Worker) -> None:
    opened = await open_session(api)
    await worker.own(opened)
    worker.error = stream_pb2.Error(code="not_trained", message="it was never trained")
    answer = await command(api, opened, type="snapshot")
    assert (answer.status_code, answer.json()["detail"]) == (409, "it was never trained")
    worker.error = stream_pb2.Error(code="internal_error", message="at 0xdeadbeef")
    answer = await command(api, opened, type="snapshot")
    assert answer.status_code == 500
    assert "0xdeadbeef" not in answer.text


async def test_snapshot_becomes_a_version_once_and_restores(
    api: httpx.AsyncClient, worker: Worker, broker: Any
) -> None:
    opened = await open_session(api)
    await worker.own(opened)
    networks = NetworkStore(broker.blobs(BUCKET), None)
    digest = await networks.put_weights(b"what the worker trained")
    worker.result = {"weights": digest}
    body = {"type": "snapshot", "command_id": "s-1", "arguments": {"promote": True}}
    answers = [await command(api, opened, **body) for _ in range(2)]
    assert [one.json()["result"] for one in answers] == [{"network": "digits", "version": 2}] * 2
    version = (await api.get("/v1/networks/digits/versions/live")).json()
    assert (version["version"], version["source"], version["parent"]) == (2, "snapshot", 1)
    manifest = await networks.manifest("default", "digits", 2)
    assert (manifest.weights, manifest.spec) == (digest, version["spec"])
    worker.result = {}
    restored = await command(api, opened, type="restore", arguments={"version": "live"})
    assert restored.json()["result"] == {"version": 2}
    assert json.loads(worker.commands[-1].arguments) == {"version": 2, "weights": digest}


async def test_sessions_of_another_tenant_do_not_exist(rest: Any, api: httpx.AsyncClient) -> None:
    opened = await open_session(api)
    path = f"/v1/sessions/{opened['session']['id']}"
    key = await make_key(api, "admin", tenant="other")
    other = await rest.client(key["key"])
    for answer in (
        await other.get(path),
        await other.delete(path),
        await other.patch(path, json={"config": {"mode": "train"}}),
        await other.post(f"{path}/tickets"),
        await other.post(f"{path}/commands", json={"type": "close"}),
        await other.get("/v1/networks/digits"),
        await other.delete("/v1/networks/digits"),
        await other.get("/v1/networks/digits/versions/1/weights"),
        await other.post("/v1/sessions", json={"network": "digits"}),
    ):
        assert answer.status_code == 404, answer.request.url
    for path in ("/v1/sessions", "/v1/networks"):
        assert (await other.get(path)).json()["items"] == []


async def test_session_tells_why_it_ended_when_its_worker_ended_it(
    api: httpx.AsyncClient, store: SessionStore
) -> None:
    opened = await open_session(api)
    session = opened["session"]["id"]
    attachment = await store.attach(opened["stream"]["ticket"], "ticket", gateway="gw-1")
    owned = await store.take(attachment.record, worker="worker-1", above_epoch=0)
    reason = "quarantined: 8 workers in a row ended while they held it"
    await store.end(session, epoch=owned.epoch, reason=reason)
    shown = (await api.get(f"/v1/sessions/{session}")).json()
    assert (shown["state"], shown["ended_reason"]) == ("ended", reason)
    refused = await api.post(f"/v1/sessions/{session}/tickets")
    assert refused.status_code == 404
    assert reason in refused.json()["detail"]
