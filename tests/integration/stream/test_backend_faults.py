"""What a backend's faults cost: the inputs of its batch, and no other session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from foundation.errors import Unavailable
from protos.dc.v1.stream_pb2 import Hello
from registry.ids import new_session_id
from registry.live import SessionRecord
from registry.networks.manifest import Manifest
from tests.support import faulty
from tests.support.conditions import until
from tests.support.stack import TENANT, Running, Stack, inputs, values


@pytest.fixture
async def faulty_stack(
    running: Running,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Stack]:
    """Two workers that compute in their threads, and give up after half a second."""
    monkeypatch.syspath_prepend(faulty.install(tmp_path / "path"))
    settings = {"worker_inline_us": 0, "worker_compute_timeout_s": 0.5}
    async with running(workers=2, worker=settings) as stack:
        for stateful in (False, True):
            await stack.networks.put_manifest(
                Manifest(
                    tenant=TENANT,
                    network="sum" if stateful else "echo",
                    version=1,
                    backend="faulty",
                    spec={"stateful": stateful},
                    stateful=stateful,
                )
            )
        yield stack
        faulty.RELEASE.set()
    faulty.RELEASE.clear()


async def add_session(stack: Stack, network: str) -> SessionRecord:
    record = SessionRecord(
        id=new_session_id(),
        tenant=TENANT,
        network=network,
        version=1,
        pool="default",
        stateful=network == "sum",
        config={},
    )
    await stack.store.create(record)
    return record


def rows(*xs: float) -> np.ndarray:
    return np.array(xs, np.float32)[:, None]


async def test_input_that_makes_the_backend_raise_costs_itself_alone(faulty_stack: Stack) -> None:
    record = await add_session(faulty_stack, "echo")
    async with faulty_stack.link(record) as link:
        await link.greet()
        await link.send(inputs=inputs(rows(1, faulty.RAISE, 3)))
        first, failed, third = await link.outputs(3)
    assert failed.error.code == "compute_failed"
    assert "told to raise" not in failed.error.message
    assert [values(one.payload)[0] for one in (first, third)] == [1, 3]


@pytest.mark.parametrize("network", ["echo", "sum"])
async def test_input_that_hangs_is_answered_and_its_worker_is_replaced(
    faulty_stack: Stack, network: str
) -> None:
    record = await add_session(faulty_stack, network)
    async with faulty_stack.link(record) as link:
        welcome = await link.greet()
        owner = next(p for p in faulty_stack.processes if p.name == welcome.worker)
        other = await add_session(faulty_stack, "sum")
        async with faulty_stack.link(other) as bystander:
            await bystander.greet()
            await bystander.send(inputs=inputs(rows(1, 2)))
            assert [values(o.payload)[0] for o in await bystander.outputs(2)] == [1, 3]
            await link.send(inputs=inputs(rows(1)))
            outputs = await link.outputs(1)
            await link.send(inputs=inputs(rows(faulty.HANG), first=2))
            # What comes in the same batch would share its fate.
            await until(lambda: owner.host.sessions[record.id].busy)
            await link.send(inputs=inputs(rows(5), first=3))
            outputs += await link.outputs(2)
            await bystander.send(inputs=inputs(rows(4), first=3))
            assert [values(o.payload)[0] for o in await bystander.outputs(1)] == [7]
        with pytest.raises(Unavailable, match="DC_WORKER_COMPUTE_TIMEOUT_S"):
            await owner.task
    first, failed, third = outputs
    assert (failed.error.code, failed.error.retryable) == ("compute_timeout", True)
    assert values(first.payload)[0] == 1
    assert values(third.payload)[0] == (6 if network == "sum" else 5)


@pytest.mark.parametrize(("deaths", "told"), [(7, ""), (8, "session_quarantined")])
async def test_session_is_given_up_when_many_owners_died_over_it(
    faulty_stack: Stack, deaths: int, told: str
) -> None:
    record = await add_session(faulty_stack, "sum")
    for number in range(deaths):
        await faulty_stack.store.take(record, worker=f"gone-{number}", above_epoch=0)
    async with faulty_stack.link(record) as link:
        await link.send(hello=Hello(oldest_retained_seq=1))
        frame = await link.receive()
        assert frame.error.code == told
        if not told:
            await link.send(inputs=inputs(rows(2)))
            assert values((await link.outputs(1))[0].payload)[0] == 2


@pytest.mark.parametrize(
    ("tried", "told"),
    [
        pytest.param((2, 2, 2), "input_quarantined", id="over-it"),
        pytest.param((1, 3, 2, 1, 2), "", id="of-something-else"),
    ],
)
async def test_only_the_input_that_owners_died_over_is_skipped(
    faulty_stack: Stack, tried: tuple[int, ...], told: str
) -> None:
    record = await add_session(faulty_stack, "sum")
    for number, seq in enumerate(tried):
        owned = await faulty_stack.store.take(record, worker=f"gone-{number}", above_epoch=0)
        await faulty_stack.store.trying(record.id, epoch=owned.epoch, seq=seq)
    async with faulty_stack.link(record) as link:
        await link.greet()
        await link.send(inputs=inputs(rows(1, 20, 3)))
        first, second, third = await link.outputs(3)
    assert second.error.code == told
    assert [values(one.payload)[0] for one in (first, third)] == [1, 4 if told else 24]
