"""What a worker keeps for clients that are away, and what becomes of the rest."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from protos.dc.v1.stream_pb2 import OUTCOME_REPLAYED, OUTCOME_RESUMED, Ack, Input
from registry.live import SessionRecord
from tests.integration.stream.test_session_faults import closed
from tests.integration.stream.test_session_moves import check
from tests.support.conditions import until
from tests.support.stack import Running, Stack, inputs

ROWS = np.random.default_rng(21).normal(size=(600, 4)).astype(np.float32)
PADDING = bytes(8 * 1024)


async def leave(stack: Stack, record: SessionRecord, count: int) -> str:
    """Stream, acknowledge nothing, and go; returns the resume token."""
    async with stack.link(record) as link:
        token = (await link.greet()).resume_token
        await link.send(inputs=inputs(ROWS[:count]))
        await link.outputs(count)
    return token


async def released(stack: Stack, record: SessionRecord) -> None:
    """Wait until nobody owns the session."""

    async def nobody() -> bool:
        (live,) = await stack.store.read([record.id])
        return live is not None and not live.owner

    await until(nobody)


@pytest.mark.parametrize("network", ["linear", "recurrent"])
async def test_longest_absent_sessions_are_parked_when_the_budget_is_spent(
    running: Running, network: str
) -> None:
    async with running(worker={"worker_detached_bytes": 128 * 1024}) as stack:
        host = stack.processes[0].host
        records = [await stack.add_session(network) for _ in range(6)]
        tokens = [await leave(stack, record, 100) for record in records]
        await until(lambda: len(host.parking) < len(records) and not host.by_gateway)
        assert host.parking.bytes <= 128 * 1024
        kept = len(host.sessions)
        assert 0 < kept < len(records)
        # The one that left first has gone, the one that left last is here.
        assert set(host.sessions) == {record.id for record in records[-kept:]}
        await released(stack, records[0])
        for record, token, outcome in (
            (records[0], tokens[0], OUTCOME_REPLAYED),
            (records[-1], tokens[-1], OUTCOME_RESUMED),
        ):
            async with stack.link(record, token=token) as link:
                welcome = await link.greet(received_seq=40, received_last=True)
                assert welcome.outcome == outcome
                assert not welcome.lost_to
                await link.send(inputs=inputs(ROWS[welcome.next_seq - 1 : 120], welcome.next_seq))
                outputs = await link.outputs(80)
            assert [output.seq for output in outputs] == list(range(41, 121))
        assert stack.processes[0].metric("dc_worker_lost_ranges_total") == 0


async def test_parked_session_goes_on_with_its_state_when_its_client_comes_back(
    running: Running,
) -> None:
    async with running(worker={"worker_detached_bytes": 0}) as stack:
        record = await stack.add_session("recurrent")
        async with stack.link(record) as link:
            token = (await link.greet()).resume_token
            await link.send(inputs=inputs(ROWS[:100]))
            outputs = await link.outputs(100)
            await link.send(ack=Ack(seq=100, last=True))
        await released(stack, record)
        assert not stack.processes[0].host.sessions
        async with stack.link(record, token=token) as link:
            welcome = await link.greet(received_seq=100, received_last=True)
            await link.send(inputs=inputs(ROWS[welcome.next_seq - 1 : 200], welcome.next_seq))
            outputs += await link.outputs(100)
        check(outputs, ROWS[:200])


async def test_absent_session_gives_way_when_the_worker_is_full(running: Running) -> None:
    async with running(worker={"worker_max_sessions": 8}) as stack:
        host = stack.processes[0].host
        records = [await stack.add_session("linear") for _ in range(9)]
        for record in records[:8]:
            await leave(stack, record, 5)
        await until(lambda: len(host.parking) == 8)
        async with stack.link(records[8]) as link:
            await link.greet()
            assert set(host.sessions) == {record.id for record in records[1:]}


@pytest.mark.parametrize("detached_bytes", [0, 1 << 20])
async def test_nothing_is_kept_of_sessions_when_their_clients_flood_one_after_the_other(
    running: Running, detached_bytes: int
) -> None:
    window = 64
    limits = {"worker_window_inputs": window, "worker_detached_bytes": detached_bytes}
    async with running(worker=limits) as stack:
        host = stack.processes[0].host
        good = await stack.add_session("recurrent")
        async with stack.link(good) as link:
            await link.greet()
            outputs = []
            for turn in range(12):
                flooding = await stack.add_session("recurrent")
                async with stack.link(flooding) as flood:
                    await flood.greet()
                    payload = next(inputs(ROWS[:1])).payload
                    for seq in range(1, window + 2):
                        await flood.send(inputs=[Input(seq=seq, payload=payload, target=PADDING)])
                    codes, code = await closed(flood)
                assert (codes, code) == (["credit_exceeded"], 4501)
                await link.send(inputs=inputs(ROWS[turn * 5 : turn * 5 + 5], turn * 5 + 1))
                outputs += await link.outputs(5)
                await link.send(ack=Ack(seq=outputs[-1].seq, last=True))
                await released(stack, flooding)
            await until(lambda: set(host.sessions) == {good.id})
            assert host.parking.bytes == 0
            assert not len(host.parking)
        check(outputs, ROWS[:60])
        # One more where an Attach came twice, the second one after the park.
        assert stack.processes[0].metric("dc_worker_parked_sessions_total") >= 12


async def test_session_is_kept_when_its_client_comes_back_while_another_one_is_ended(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = stack.processes[0].host
    first, second = [await stack.add_session("linear") for _ in range(2)]
    await leave(stack, first, 1)
    token = await leave(stack, second, 1)
    await until(lambda: len(host.parking) == 2)
    end = host.store.end
    back, ended = asyncio.Event(), asyncio.Event()

    async def end_slowly(session: str, *, epoch: int | None, reason: str) -> bool:
        assert session == first.id
        await back.wait()
        answer = await end(session, epoch=epoch, reason=reason)
        ended.set()
        return answer

    monkeypatch.setattr(host.store, "end", end_slowly)
    for session in host.sessions.values():
        session.detached_at -= session.record.resume_ttl_s
    await until(lambda: first.id not in host.sessions)
    async with stack.link(second, token=token) as link:
        welcome = await link.greet(received_seq=1, received_last=True)
        assert welcome.outcome == OUTCOME_RESUMED
        back.set()
        await ended.wait()
        await link.send(inputs=inputs(ROWS[1:3], 2))
        assert [output.seq for output in await link.outputs(2)] == [2, 3]
