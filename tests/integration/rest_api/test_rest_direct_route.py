"""Where sessions that stream straight to their worker are told to go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from broker import subjects
from broker.nats import NatsBroker
from broker.port import Delivery
from protos.dc.internal.v1.envelope_pb2 import Offer
from registry.live import SessionStore, WorkerDirectory, WorkerInfo
from tests.integration.rest_api.conftest import create_digits, open_session

GATEWAY = "ws://127.0.0.1:8765/v1/stream"
ENDPOINT = "ws://worker-1:9001/v1/stream"
OTHER = "ws://worker-2:9001/v1/stream"
DIRECT = {"route": "direct"}

Announce = Callable[..., Awaitable[None]]
Offering = Callable[..., Awaitable[None]]


@pytest.fixture(autouse=True)
async def digits(api: httpx.AsyncClient) -> None:
    await create_digits(api)


@pytest.fixture
async def announce(redis: Redis) -> Announce:
    """Announce a worker, as its lease does."""

    async def announce(name: str, endpoint: str = "", state: str = "ready") -> None:
        info = WorkerInfo(name=name, pool="default", state=state, endpoint=endpoint)
        await WorkerDirectory(redis).announce(info, 60_000)

    return announce


@pytest.fixture
async def offering(broker: NatsBroker) -> AsyncIterator[Offering]:
    """Offer a worker that has an endpoint."""
    answering: set[asyncio.Future[None]] = set()
    async with AsyncExitStack() as opened:

        async def offering(worker: str, endpoint: str, free: float = 1.0) -> None:
            offer = Offer(worker=worker, endpoint=endpoint, free=free).SerializeToString()

            def answer(delivery: Delivery) -> None:
                task = asyncio.ensure_future(broker.publish(delivery.reply, offer))
                answering.add(task)
                task.add_done_callback(answering.discard)

            subject = subjects.direct_offers("default")
            subscription = await broker.subscribe(subject, answer, queue="workers")
            opened.push_async_callback(subscription.unsubscribe)

        yield offering


async def ticket(api: httpx.AsyncClient, opened: dict[str, Any]) -> dict[str, Any]:
    answer = await api.post(f"/v1/sessions/{opened['session']['id']}/tickets")
    assert answer.status_code == 201, answer.text
    stream: dict[str, Any] = answer.json()["stream"]
    return stream


async def test_session_is_sent_to_a_workers_endpoint_when_its_route_is_direct(
    api: httpx.AsyncClient, store: SessionStore, offering: Offering
) -> None:
    await offering("worker-1", ENDPOINT)
    opened = await open_session(api, config=DIRECT)
    assert opened["session"]["config"]["route"] == "direct"
    assert opened["stream"]["url"] == ENDPOINT
    assert opened["stream"]["fallback_url"] == GATEWAY
    attachment = await store.attach(opened["stream"]["ticket"], "ticket", gateway="endpoint")
    assert attachment.record.direct


@pytest.mark.parametrize(
    ("free", "code"), [(None, "no_direct_worker"), (0.0, "workers_full")], ids=["none", "full"]
)
async def test_session_is_refused_for_now_when_no_worker_can_be_streamed_to(
    api: httpx.AsyncClient, redis: Redis, offering: Offering, free: float | None, code: str
) -> None:
    if free is not None:
        await offering("worker-1", ENDPOINT, free)
    answer = await api.post("/v1/sessions", json={"network": "digits", "config": DIRECT})
    assert answer.status_code == 503
    problem = answer.json()
    assert problem["code"] == code
    assert "endpoint" in problem["detail"]
    assert int(answer.headers["Retry-After"]) >= 1
    if free is None:
        assert "launcher.direct_worker" in problem["detail"]
    # Nothing is left of it.
    assert (await api.get("/v1/sessions")).json()["items"] == []
    assert [key async for key in redis.scan_iter("dc:{ses_*")] == []


async def test_ticket_leads_to_the_owners_endpoint_when_it_lives(
    api: httpx.AsyncClient, store: SessionStore, offering: Offering, announce: Announce
) -> None:
    await offering("worker-1", ENDPOINT)
    opened = await open_session(api, config=DIRECT)
    attachment = await store.attach(opened["stream"]["ticket"], "ticket", gateway="endpoint")
    await store.take(attachment.record, worker="worker-2", above_epoch=0)
    await announce("worker-2", OTHER)
    stream = await ticket(api, opened)
    assert (stream["url"], stream["fallback_url"]) == (OTHER, GATEWAY)


@pytest.mark.parametrize(
    ("endpoint", "state"), [("", "ready"), (OTHER, "draining")], ids=["none", "draining"]
)
async def test_ticket_leads_to_a_gateway_when_the_owner_takes_no_streams(
    api: httpx.AsyncClient,
    store: SessionStore,
    offering: Offering,
    announce: Announce,
    endpoint: str,
    state: str,
) -> None:
    await offering("worker-1", ENDPOINT)
    opened = await open_session(api, config=DIRECT)
    attachment = await store.attach(opened["stream"]["ticket"], "ticket", gateway="endpoint")
    await store.take(attachment.record, worker="worker-2", above_epoch=0)
    await announce("worker-2", endpoint, state)
    stream = await ticket(api, opened)
    assert (stream["url"], stream["fallback_url"]) == (GATEWAY, None)


async def test_ticket_leads_to_another_endpoint_when_the_owner_is_gone(
    api: httpx.AsyncClient, store: SessionStore, offering: Offering
) -> None:
    await offering("worker-1", ENDPOINT)
    opened = await open_session(api, config=DIRECT)
    attachment = await store.attach(opened["stream"]["ticket"], "ticket", gateway="endpoint")
    await store.take(attachment.record, worker="dead", above_epoch=0)
    assert (await ticket(api, opened))["url"] == ENDPOINT


async def test_ticket_leads_to_a_gateway_when_nobody_has_an_endpoint_any_more(
    api: httpx.AsyncClient, store: SessionStore
) -> None:
    opened = await open_session(api)
    path = f"/v1/sessions/{opened['session']['id']}"
    changed = await api.patch(path, json={"config": DIRECT})
    assert changed.json()["config"]["route"] == "direct"
    stream = await ticket(api, opened)
    assert (stream["url"], stream["fallback_url"]) == (GATEWAY, None)


async def test_route_is_refused_when_it_is_unknown_or_comes_too_late(
    api: httpx.AsyncClient, store: SessionStore
) -> None:
    opened = await open_session(api)
    path = f"/v1/sessions/{opened['session']['id']}"
    wrong = await api.patch(path, json={"config": {"route": "pigeon"}})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["field"] == "config.route"
    await store.attach(opened["stream"]["ticket"], "ticket", gateway="gw-1")
    late = await api.patch(path, json={"config": DIRECT})
    assert late.status_code == 409
    assert late.json()["code"] == "already_attached"


async def test_workers_are_listed_with_their_endpoints(
    api: httpx.AsyncClient, announce: Announce
) -> None:
    await announce("worker-1", ENDPOINT)
    await announce("worker-2")
    items = (await api.get("/v1/workers")).json()["items"]
    assert [worker["endpoint"] for worker in items] == [ENDPOINT, None]
