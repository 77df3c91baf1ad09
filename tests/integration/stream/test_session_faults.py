"""Sessions whose credentials, checkpoints, owners or stores are not what they should be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from redis.asyncio import Redis
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ann_workers.hosting.careful import QUARANTINE_AFTER
from broker.nats import NatsBroker
from foundation.redis import connect as connect_redis
from protos.dc.internal.v1.envelope_pb2 import Checkpoint
from protos.dc.v1.stream_pb2 import (
    COMMAND_KIND_PAUSE,
    COMMAND_KIND_RESUME,
    NOTICE_KIND_DRAINING,
    OUTCOME_LOST,
    OUTCOME_REPLAYED,
    Ack,
    Cancel,
    Command,
    Hello,
    Input,
)
from tests.integration.stream.test_session_moves import check, oracle
from tests.support.conditions import until
from tests.support.servers import NatsServer, RedisServer
from tests.support.stack import RawLink, Running, Stack, inputs, running_stack, values

ROWS = np.random.default_rng(11).normal(size=(120, 4)).astype(np.float32)


def checkpoint_key(session: str) -> str:
    return f"dc:{{{session}}}:ckpt"


async def closed(link: RawLink) -> tuple[list[str], int]:
    """The codes of the errors that came before the close, and the close's own."""
    codes: list[str] = []

    async def read() -> None:
        while True:
            frame = await link.receive()
            if frame.HasField("error"):
                codes.append(frame.error.code)

    with pytest.raises(ConnectionClosed) as end:
        await read()
    assert end.value.rcvd is not None
    return codes, end.value.rcvd.code


async def checkpointed(redis: Redis, session: str, seq: int) -> None:
    """Wait until the session's checkpoint holds the input `seq`."""

    async def there() -> bool:
        data = await redis.get(checkpoint_key(session))
        return data is not None and Checkpoint.FromString(data).seq >= seq

    await until(there)


# ---------------------------------------------------------------- credentials


async def test_one_socket_wins_when_two_resume_a_session_at_once(running: Running) -> None:
    async with running(gateways=2) as stack:
        record = await stack.add_session("recurrent")
        async with stack.link(record) as link:
            token = (await link.greet()).resume_token

        async def resume(gateway: int) -> int:
            async with stack.link(record, token=token, gateway=gateway) as link:
                await link.send(hello=Hello(oldest_retained_seq=1))
                try:
                    while not (frame := await link.receive()).HasField("welcome"):
                        pass
                    await link.send(inputs=inputs(ROWS[:5], first=frame.welcome.next_seq))
                    await link.outputs(5)
                except ConnectionClosed as end:
                    return end.rcvd.code if end.rcvd is not None else 1006
                return 0

        codes = await asyncio.gather(resume(0), resume(1))
    # The slower one may still be told after it has had its answers.
    assert codes.count(0) in {1, 2}
    assert set(codes) <= {0, 4004, 4503}


@pytest.mark.parametrize("whose", ["ended", "another's"])
async def test_upgrade_is_refused_when_the_resume_token_is_of_no_living_session(
    stack: Stack, whose: str
) -> None:
    record, other = await stack.add_session("linear"), await stack.add_session("linear")
    async with stack.link(record) as link:
        token = (await link.greet()).resume_token
    if whose == "ended":
        await stack.store.end(record.id, epoch=None, reason="closed")
    else:
        async with stack.link(other) as link:
            foreign = (await link.greet()).resume_token
        token = foreign[:22] + token[22:]
    with pytest.raises(InvalidStatus) as refused:
        async with stack.dial(f"dc.resume.{token}"):
            pass
    assert refused.value.response.status_code == 401


# ---------------------------------------------------------------- lost states


async def test_session_is_told_lost_when_it_retains_nothing_before_a_gap(
    stack: Stack, redis: Redis
) -> None:
    record = await stack.add_session("recurrent")
    async with stack.link(record) as link:
        token = (await link.greet()).resume_token
        await link.send(inputs=inputs(ROWS[:20]))
        await link.outputs(20)
    async with stack.link(record, token=token) as link:
        welcome = await link.greet(received_seq=20, received_last=True, oldest_retained_seq=41)
        assert welcome.outcome == OUTCOME_LOST
        assert (welcome.lost_from, welcome.lost_to) == (21, 40)
        assert welcome.next_seq == 41
        await link.send(inputs=inputs(ROWS[40:60], first=41))
        outputs = await link.outputs(20)
    expected = oracle(np.concatenate((ROWS[:20], ROWS[40:60])))[20:]
    for output, value in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(values(output.payload), value, atol=1e-5)


async def test_session_is_told_lost_again_when_nobody_knows_whether_the_welcome_came(
    stack: Stack,
) -> None:
    record = await stack.add_session("recurrent")
    async with stack.link(record) as link:
        token = (await link.greet()).resume_token
        await link.send(inputs=inputs(ROWS[:20]))
        await link.outputs(20)
        await link.send(ack=Ack(seq=20, last=True))
    for _ in range(2):
        async with stack.link(record, token=token) as link:
            welcome = await link.greet(received_seq=20, received_last=True, oldest_retained_seq=41)
            token = welcome.resume_token
            assert (welcome.lost_from, welcome.lost_to) == (21, 40)


async def test_session_resumes_when_its_new_owner_is_behind_what_the_client_has(
    stack: Stack, redis: Redis, tmp_path: Path
) -> None:
    record = await stack.add_session("recurrent")
    async with stack.link(record) as link:
        token = (await link.greet()).resume_token
        await link.send(inputs=inputs(ROWS[:20]))
        outputs = await link.outputs(20)
    stack.processes[0].task.cancel()
    await redis.delete(checkpoint_key(record.id))
    await stack.add_worker(tmp_path / "late", "late")
    for _ in range(2):
        # The link breaks before anything was sent again: the new owner knows of no input yet.
        async with stack.link(record, token=token) as link:
            welcome = await link.greet(received_seq=20, received_last=True, oldest_retained_seq=1)
            assert welcome.next_seq == 1
            token = welcome.resume_token
    async with stack.link(record, token=token) as link:
        await link.greet(received_seq=20, received_last=True, oldest_retained_seq=1)
        await link.send(inputs=inputs(ROWS[:40]))
        outputs += await link.outputs(20)
    check(outputs, ROWS[:40])


async def test_session_is_told_lost_when_redis_forgot_its_owner_and_only_an_older_one_lives(
    running: Running, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(workers=2, gateway={"gateway_worker_silence_s": 0.3}) as stack:
        record = await stack.add_session("recurrent")
        async with stack.link(record) as link:
            welcome = await link.greet()
            older, owner = stack.processes[:2]
            if older.name != welcome.worker:
                older, owner = owner, older
            await link.send(inputs=inputs(ROWS[:10]))
            outputs = await link.outputs(10)
            await checkpointed(redis, record.id, 10)
            # Nobody hears it, so the session is taken from it, and it does not know.
            with monkeypatch.context() as patched:
                patched.setattr(older.host.links._broker, "post", lambda *_, **__: True)
                await until(lambda: record.id in owner.host.sessions)
            await link.send(inputs=inputs(ROWS[10:30], first=11))
            outputs += await link.outputs(20)
            await link.send(ack=Ack(seq=30, last=True))
            assert older.host.sessions[record.id].epoch < owner.host.sessions[record.id].epoch
            epoch = owner.host.sessions[record.id].epoch
        owner.task.cancel()
        await asyncio.wait({owner.task})
        await redis.flushdb()
        await older.host.lease.renew()
        async with stack.link(record, token=welcome.resume_token) as link:
            welcome = await link.greet(
                received_seq=30, received_last=True, oldest_retained_seq=31, epoch=epoch
            )
            assert welcome.outcome == OUTCOME_LOST
            assert (welcome.lost_from, welcome.lost_to) == (11, 30)
            await link.send(inputs=inputs(ROWS[30:40], first=31))
            after = await link.outputs(10)
    check(outputs, ROWS[:30])
    expected = oracle(np.concatenate([ROWS[:10], ROWS[30:40]]))[10:]
    assert [output.seq for output in after] == list(range(31, 41))
    for output, value in zip(after, expected, strict=True):
        np.testing.assert_allclose(values(output.payload), value, atol=1e-5)


@pytest.mark.parametrize("data", [b"\xff\xff garbage", Checkpoint(format=99).SerializeToString()])
async def test_session_is_told_lost_when_its_checkpoint_cannot_be_read(
    stack: Stack, redis: Redis, tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    record = await stack.add_session("recurrent")
    async with stack.link(record) as link:
        token = (await link.greet()).resume_token
        await link.send(inputs=inputs(ROWS[:20]))
        await link.outputs(20)
        await link.send(ack=Ack(seq=20, last=True))
        await checkpointed(redis, record.id, 20)
    await stack.processes[0].drain()
    await redis.set(checkpoint_key(record.id), data, px=60_000)
    await stack.add_worker(tmp_path / "late", "late")
    async with stack.link(record, token=token) as link:
        welcome = await link.greet(received_seq=20, received_last=True, oldest_retained_seq=21)
        assert welcome.outcome == OUTCOME_LOST
        assert (welcome.lost_from, welcome.lost_to) == (1, 20)
        await link.send(inputs=inputs(ROWS[20:40], first=21))
        outputs = await link.outputs(20)
    for output, value in zip(outputs, oracle(ROWS[20:40]), strict=True):
        np.testing.assert_allclose(values(output.payload), value, atol=1e-5)
    assert "checkpoint refused" in caplog.text


async def test_session_is_replayed_when_redis_lost_a_checkpoint_that_the_client_does_not_need(
    stack: Stack, redis: Redis, tmp_path: Path
) -> None:
    record = await stack.add_session("recurrent")
    async with stack.link(record) as link:
        token = (await link.greet()).resume_token
        await link.send(inputs=inputs(ROWS[:20]))
        first = await link.outputs(20)
    await stack.processes[0].drain()
    await redis.delete(checkpoint_key(record.id))
    await stack.add_worker(tmp_path / "late", "late")
    async with stack.link(record, token=token) as link:
        welcome = await link.greet(received_seq=20, received_last=True, oldest_retained_seq=1)
        assert welcome.outcome == OUTCOME_REPLAYED
        assert welcome.next_seq == 1
        await link.send(inputs=inputs(ROWS[:40]))
        rest = await link.outputs(20)
    check(first + rest, ROWS[:40])


async def test_session_is_quarantined_when_many_owners_did_not_outlive_it(stack: Stack) -> None:
    record = await stack.add_session("recurrent")
    for number in range(QUARANTINE_AFTER):
        await stack.store.take(record, worker=f"dead-{number}", above_epoch=0)
    async with stack.link(record) as link:
        await link.send(hello=Hello(oldest_retained_seq=1))
        codes, code = await closed(link)
    assert (codes, code) == (["session_quarantined"], 4502)
    (live,) = await stack.store.read([record.id])
    assert live is not None
    assert live.ended_reason.startswith(f"quarantined: {QUARANTINE_AFTER} workers")


# ---------------------------------------------------------------- Redis


async def test_nothing_is_lost_when_redis_comes_back_empty_while_the_owner_lives(
    stack: Stack, redis: Redis, tmp_path: Path
) -> None:
    record = await stack.add_session("recurrent")
    async with stack.link(record) as link:
        token = (await link.greet()).resume_token
        await link.send(inputs=inputs(ROWS[:20]))
        outputs = await link.outputs(20)
        await link.send(ack=Ack(seq=20, last=True))
        await checkpointed(redis, record.id, 20)
        # The session stands still: no input makes its owner write it again.
        await redis.flushdb()
        await checkpointed(redis, record.id, 20)
        stack.processes[0].task.cancel()
        await stack.add_worker(tmp_path / "late", "late")
        await link.send(inputs=inputs(ROWS[20:40], first=21))
        outputs += await link.outputs(20)
    async with stack.link(record, token=token) as link:
        await link.greet(received_seq=40, received_last=True, oldest_retained_seq=41)
        await link.send(inputs=inputs(ROWS[40:60], first=41))
        outputs += await link.outputs(20)
    check(outputs, ROWS[:60])


async def test_outputs_wait_for_their_checkpoint_when_the_session_is_commit_first(
    broker: NatsBroker,
    nats_server: NatsServer,
    own_redis_server: RedisServer,
    tmp_path: Path,
) -> None:
    redis = await connect_redis(own_redis_server.url, timeout_s=20)
    async with running_stack(
        broker,
        redis,
        nats_server,
        own_redis_server,
        tmp_path,
        worker={"worker_lease_ms": 10_000},
    ) as stack:
        held = await stack.add_session("recurrent", delivery="commit_first")
        other = await stack.add_session("recurrent")
        async with stack.link(held) as holding, stack.link(other) as witness:
            await holding.greet()
            await witness.greet()
            own_redis_server.freeze()
            try:
                await holding.send(inputs=inputs(ROWS[:5]))
                held_session = stack.processes[0].host.sessions[held.id]
                await until(lambda: held_session.machine.computed_seq == 5)
                # What came later and need not wait is answered: the others are being held.
                await witness.send(inputs=inputs(ROWS[:5]))
                await witness.outputs(5)
                assert held_session.machine.sendable() == []
            finally:
                own_redis_server.thaw()
            outputs = await holding.outputs(5)
    await redis.aclose()
    check(outputs, ROWS[:5])


# ---------------------------------------------------------------- dropped inputs


async def test_dropped_inputs_stay_dropped_when_the_worker_changes(
    stack: Stack, tmp_path: Path
) -> None:
    record = await stack.add_session("recurrent")
    async with stack.link(record) as link:
        await link.greet()
        await link.send(command=Command(command_id="stop", kind=COMMAND_KIND_PAUSE))
        while not (await link.receive()).HasField("command_result"):
            pass
        batch = list(inputs(ROWS[:20]))
        batch[4].budget_ms = 1
        await link.send(inputs=batch)
        await link.send(cancel=Cancel(seq=8))
        held = stack.processes[0].host.sessions[record.id]
        await until(lambda: held.machine.next_seq == 21 and held.cancelled)
        waiting_since = asyncio.get_running_loop().time()
        await until(lambda: asyncio.get_running_loop().time() > waiting_since + 0.002)
        await link.send(command=Command(command_id="go", kind=COMMAND_KIND_RESUME))
        outputs = await link.outputs(20)
        assert outputs[4].error.code == "deadline_exceeded"
        assert outputs[7].error.code == "cancelled"
        await stack.processes[0].drain()
        await stack.add_worker(tmp_path / "late", "late")
        await link.send(inputs=inputs(ROWS[20:40], first=21))
        outputs += await link.outputs(20)
    assert [output.seq for output in outputs] == list(range(1, 41))
    computed = [n for n in range(40) if n not in {4, 7}]
    for n, value in zip(computed, oracle(ROWS[computed]), strict=True):
        np.testing.assert_allclose(values(outputs[n].payload), value, atol=1e-5)


# ---------------------------------------------------------------- a gateway that goes away


async def test_client_is_told_and_comes_back_elsewhere_when_its_gateway_drains(
    running: Running,
) -> None:
    async with running(gateways=2) as stack:
        record = await stack.add_session("recurrent")
        async with stack.link(record) as link:
            token = (await link.greet()).resume_token
            await link.send(inputs=inputs(ROWS[:20]))
            outputs = await link.outputs(20)
            draining = asyncio.create_task(stack.processes[1].drain())
            notice = (await link.receive()).notice
            while not notice.kind:
                notice = (await link.receive()).notice
            assert notice.kind == NOTICE_KIND_DRAINING
            _, code = await closed(link)
            assert code == 4001
        await draining
        async with stack.link(record, token=token, gateway=1) as link:
            welcome = await link.greet(received_seq=20, received_last=True, oldest_retained_seq=1)
            rest = list(inputs(ROWS[:40]))[welcome.next_seq - 1 :]
            await link.send(inputs=rest)
            outputs += await link.outputs(20)
    check(outputs, ROWS[:40])


async def test_session_goes_on_without_its_input_when_that_is_skipped(stack: Stack) -> None:
    record = await stack.add_session("recurrent")
    async with stack.link(record) as link:
        await link.greet()
        await link.send(inputs=[*inputs(ROWS[:2]), Input(seq=3, skip=True)])
        await link.send(inputs=inputs(ROWS[3:5], first=4))
        outputs = await link.outputs(5)
    assert outputs[2].error.code == "dropped"
    for n, value in zip((0, 1, 3, 4), oracle(ROWS[[0, 1, 3, 4]]), strict=True):
        np.testing.assert_allclose(values(outputs[n].payload), value, atol=1e-5)
