"""What sessions see when Triton, a model or a worker goes away under the stream."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from direct_contact.client import Client
from direct_contact.client.errors import AnswerTimeout, InputFailed
from direct_contact.client.output import NoticeKind
from direct_contact.client.session import Session
from tests.support.conditions import until
from tests.support.launched import LaunchedStack, metric
from tests.support.triton import TritonServer, create, x
from tests.system.triton.conftest import COMPUTE_TIMEOUT_S, SessionOf

WAIT_S = 60.0


async def total(session: Session, value: float) -> tuple[float, int]:
    """What the sequence adds up to with this value, and whose it is."""
    output = await session.infer_full(x(value), timeout_s=WAIT_S)
    return output.array.item(), output.tensors["sequence"].item()


def lost(session: Session) -> list[tuple[int, int]]:
    """The ranges that the session was told to be lost while it was connected."""
    return [(one.lost_from, one.lost_to) for one in session.notices if one.kind is NoticeKind.LOST]


async def worker_of(client: Client, session: Session) -> Any:
    """The process that holds the session: its name and its pid."""
    (info,) = [one for one in await client.sessions() if one.id == session.id]
    (worker,) = [one for one in await client.workers() if one.name == info.worker]
    return worker


async def settled(launched: LaunchedStack) -> None:
    """Return when both workers are there again."""
    async with Client(launched.ready["rest_url"], launched.ready["api_key"]) as client:

        async def both() -> bool:
            return [one.state for one in await client.workers()] == ["ready"] * 2

        await until(both, timeout_s=WAIT_S)


async def sent(launched: LaunchedStack, pid: int) -> None:
    """Return when the worker has an input under way at Triton."""
    run = launched.data_dir / "run"
    (told,) = [one for path in run.glob("ann-worker-*.json") if (one := _ready(path))["pid"] == pid]

    def under_way() -> bool:
        return metric(told["probe_port"], "dc_worker_remote_inputs") > 0

    await until(lambda: asyncio.to_thread(under_way))


def _ready(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


# ------------------------------------------------------------ Triton goes away


async def test_stateless_session_just_goes_on_when_triton_is_killed_and_restarted(
    session_of: SessionOf, triton: TritonServer
) -> None:
    async with session_of("scale") as session:
        assert (await session.infer(x(1))).item() == 2
        triton.kill()
        answers = [asyncio.create_task(session.infer(x(i), timeout_s=WAIT_S)) for i in range(30)]
        await asyncio.to_thread(triton.start)
        for i, answer in enumerate(answers):
            assert (await answer).item() == 2 * i
        assert session.stats.outcomes == ["new"]
        assert lost(session) == []


async def test_stateful_session_is_told_what_is_lost_when_triton_is_killed_and_restarted(
    session_of: SessionOf, triton: TritonServer
) -> None:
    async with session_of("total") as session:
        for _ in range(5):
            _, before = await total(session, 1)
        triton.kill()
        await asyncio.to_thread(triton.start)
        assert lost(session) == []
        found, after = await total(session, 10)
        assert found == 10
        assert before != after
        assert lost(session) == [(1, 5)]
        # Once is enough, and the state goes on.
        assert (await total(session, 1))[0] == 11
        triton.kill()
        await asyncio.to_thread(triton.start)
        assert (await total(session, 1))[0] == 1
        assert lost(session)[1:] == [(6, 7)]


async def test_inputs_under_way_are_answered_once_when_triton_dies_under_them(
    session_of: SessionOf, client: Client, triton: TritonServer, launched: LaunchedStack
) -> None:
    async with session_of("total") as session:
        await total(session, 1)
        slow = asyncio.create_task(total(session, 1000))
        later = [asyncio.create_task(total(session, 1)) for _ in range(5)]
        await sent(launched, (await worker_of(client, session)).pid)
        triton.kill()
        await asyncio.to_thread(triton.start)
        # Input 2 was under way, and is the first of the new sequence.
        assert (await slow)[0] == 1000
        assert [(await one)[0] for one in later] == [1001, 1002, 1003, 1004, 1005]
        assert lost(session) == [(1, 1)]


async def test_stateful_session_is_told_when_its_model_is_loaded_again(
    session_of: SessionOf, triton: TritonServer
) -> None:
    async with session_of("total") as session:
        await total(session, 1)
        await total(session, 1)
        await asyncio.to_thread(triton.load, "total")
        await asyncio.to_thread(triton.unload, "total")
        answer = asyncio.create_task(total(session, 3))
        await asyncio.to_thread(triton.load, "total")
        assert (await answer)[0] == 3
        assert lost(session) == [(1, 2)]


async def test_stateless_session_waits_when_its_model_is_unloaded_and_loaded(
    session_of: SessionOf, triton: TritonServer
) -> None:
    async with session_of("scale") as session:
        await asyncio.to_thread(triton.unload, "scale")
        answer = asyncio.create_task(session.infer(x(3), timeout_s=WAIT_S))
        await asyncio.to_thread(triton.load, "scale")
        assert (await answer).item() == 6


async def test_input_is_answered_with_an_error_when_its_model_stays_away(
    session_of: SessionOf, triton: TritonServer
) -> None:
    async with session_of("count") as session:
        await asyncio.to_thread(triton.unload, "count")
        try:
            with pytest.raises(InputFailed) as raised:
                await session.infer({"n": np.array([1], np.int32)}, timeout_s=WAIT_S)
        finally:
            await asyncio.to_thread(triton.load, "count")
        assert (raised.value.code, raised.value.retryable) == ("model_unavailable", True)
        assert "version 1 is not at ready state" in raised.value.message
        answer = await session.infer_full({"n": np.array([1], np.int32)}, timeout_s=WAIT_S)
        assert answer.parts[0].tensors["i"].item() == 0


# ------------------------------------------------------------ a worker goes away


async def test_state_goes_on_when_the_worker_of_an_idle_session_is_killed(
    session_of: SessionOf, client: Client, launched: LaunchedStack
) -> None:
    async with session_of("total") as session:
        for _ in range(7):
            _, before = await total(session, 1)

        def durable() -> bool:
            return session._conversation.machine.durable_seq == 7

        await until(durable)
        os.kill((await worker_of(client, session)).pid, signal.SIGKILL)
        found, after = await total(session, 1)
        assert (found, after) == (8, before)
        assert lost(session) == []
    await settled(launched)


async def test_what_was_under_way_is_lost_and_counted_once_when_its_worker_is_killed(
    session_of: SessionOf, client: Client, launched: LaunchedStack
) -> None:
    async with session_of("total") as session:
        for _ in range(3):
            _, before = await total(session, 1)
        worker = await worker_of(client, session)
        slow = asyncio.create_task(total(session, 1000))
        await sent(launched, worker.pid)
        os.kill(worker.pid, signal.SIGKILL)
        found, after = await slow
        assert found == 1000
        assert after != before
        assert lost(session) == [(1, 3)]
        assert (await total(session, 1))[0] == 1001
    await settled(launched)


async def test_state_goes_on_when_its_worker_hands_over(
    session_of: SessionOf, client: Client, launched: LaunchedStack
) -> None:
    async with session_of("total") as session:
        await total(session, 1)
        worker = await worker_of(client, session)
        answers = [asyncio.create_task(total(session, 1)) for _ in range(200)]
        await answers[20]
        os.kill(worker.pid, signal.SIGTERM)
        assert [(await one)[0] for one in answers] == [i + 2 for i in range(200)]
        assert lost(session) == []
        assert len({(await one)[1] for one in answers}) == 1
    await settled(launched)


async def test_parts_come_once_and_in_order_when_a_worker_is_killed_in_an_answer(
    session_of: SessionOf, client: Client, launched: LaunchedStack
) -> None:
    async with session_of("count") as session:
        worker = await worker_of(client, session)
        seq = await session.send({"n": np.array([40], np.int32), "pause_ms": np.array([20], "i4")})
        outputs = []
        async for output in session:
            assert output.error is None
            outputs.append(output)
            if len(outputs) == 10:
                os.kill(worker.pid, signal.SIGKILL)
            if output.last:
                break
        assert [(one.seq, one.part) for one in outputs] == [(seq, i) for i in range(41)]
        assert [one.tensors["i"].item() for one in outputs[:-1]] == list(range(40))
    await settled(launched)


# ------------------------------------------------------------ slow answers and cancels


async def test_slow_answer_is_given_up_and_costs_the_state_when_the_model_has_one(
    session_of: SessionOf,
) -> None:
    async with session_of("total") as session:
        _, before = await total(session, 1)
        with pytest.raises(
            InputFailed, match=f"took longer than {COMPUTE_TIMEOUT_S:g} s"
        ) as raised:
            await total(session, 1000 * (COMPUTE_TIMEOUT_S + 0.5))
        assert raised.value.code == "compute_timeout"
        # Whether it counted is not known here: the state begins anew, and says so.
        found, after = await total(session, 5)
        assert found == 5
        assert after != before
        assert lost(session) == [(1, 2)]


async def test_slow_answer_is_given_up_alone_when_the_model_has_no_state(
    session_of: SessionOf,
) -> None:
    async with session_of("scale") as session:
        slow = asyncio.create_task(session.infer(x(1000 * (COMPUTE_TIMEOUT_S + 0.5))))
        # Of another shape, so that Triton does not compute the two together.
        quick = asyncio.create_task(session.infer(x(1, 2)))
        with pytest.raises(InputFailed) as raised:
            await slow
        assert raised.value.code == "compute_timeout"
        np.testing.assert_array_equal(await quick, x(2, 4))
        with pytest.raises(InputFailed) as raised:
            await session.infer(x(1500), budget_ms=200)
        assert raised.value.code == "deadline_exceeded"


async def test_answer_ends_with_an_error_when_it_is_cancelled_in_the_middle(
    session_of: SessionOf,
) -> None:
    async with session_of("count") as session:
        endless = {"n": np.array([100_000], np.int32), "pause_ms": np.array([5], np.int32)}
        with pytest.raises(AnswerTimeout):
            await session.infer_full(endless, timeout_s=0.3)
        answer = await session.infer_full({"n": np.array([2], np.int32)}, timeout_s=1.0)
        assert [part.tensors["i"].item() for part in answer.parts[:2]] == [0, 1]


async def test_no_session_sees_anothers_state_when_inputs_are_cancelled(
    client: Client, triton: TritonServer
) -> None:
    """What server#7117 of Triton was about: a slot that is released twice is given to two."""
    network = await create(client, triton, "total")
    owners: dict[int, str] = {}

    async def converse(step: int) -> None:
        rng = np.random.default_rng(step)
        for _ in range(4):
            async with client.session(network) as session:
                expected, key = 0.0, 0
                for _ in range(12):
                    value = float(rng.integers(1, 100))
                    try:
                        # Some wait for too short a time, and cancel what may be under way.
                        timeout_s = 0.001 if rng.random() < 0.4 else WAIT_S
                        output = await session.infer_full(x(value), timeout_s=timeout_s)
                    except AnswerTimeout:
                        output = await session.infer_full(x(0), timeout_s=WAIT_S)
                        found = output.array.item()
                        assert found in {expected, expected + value}
                        expected = found
                    else:
                        expected += value
                        assert output.array.item() == expected
                    sequence = output.tensors["sequence"].item()
                    assert key in {0, sequence}
                    key = sequence
                    assert owners.setdefault(sequence, session.id) == session.id

    await asyncio.gather(*(converse(step) for step in range(1, 17)))
    assert len(owners) == 16 * 4
