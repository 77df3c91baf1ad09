"""Bad input at the edge: a clear error each, and the others are served on."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from protos.dc.v1.stream_pb2 import (
    COMMAND_KIND_RESET,
    COMMAND_KIND_UNSPECIFIED,
    Ack,
    Cancel,
    Command,
    Hello,
    Input,
)
from protos.dc.v1.tensor_pb2 import Payload, Tensor
from tests.support.conditions import until
from tests.support.stack import RawLink, Running, Stack, inputs, values, vector

GOOD = vector(np.ones(4, np.float32))


@pytest.fixture
def stack(either_stack: Stack) -> Stack:
    """Everything here holds on both routes."""
    return either_stack


@pytest.fixture
async def link(stack: Stack) -> AsyncIterator[RawLink]:
    """A greeted stream of the linear network, and proof at the end that others are served."""
    record = await stack.add_session("linear")
    async with stack.link(record) as link:
        await link.greet()
        yield link
    other = await stack.add_session("linear")
    async with stack.link(other) as witness:
        await witness.greet()
        await witness.send(inputs=[Input(seq=1, payload=GOOD)])
        assert len(await witness.outputs(1)) == 1


def tensor(**fields: object) -> bytes:
    """A payload whose one tensor differs from a good one in `fields`."""
    good = {"datatype": "FP32", "shape": [4], "data": bytes(16)}
    return Payload(tensors=[Tensor(**{**good, **fields})]).SerializeToString()


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(tensor(shape=[5], data=bytes(20)), ["[4]", "[5]"], id="shape"),
        pytest.param(tensor(datatype="INT64", data=bytes(32)), ["FP32", "INT64"], id="dtype"),
        pytest.param(tensor(data=bytes(15)), ["16", "15"], id="length"),
        pytest.param(b"", ["one tensor", "0"], id="no-tensor"),
        pytest.param(b"\xff\xff\xff", ["dc.v1.Payload"], id="garbage"),
    ],
)
async def test_input_is_answered_with_what_was_expected_when_it_is_wrong(
    link: RawLink, payload: bytes, expected: list[str]
) -> None:
    await link.send(inputs=[Input(seq=1, payload=payload), Input(seq=2, payload=GOOD)])
    wrong, right = await link.outputs(2)
    assert wrong.seq == 1
    assert not wrong.error.retryable
    for text in expected:
        assert text in wrong.error.message
    assert right.seq == 2
    assert not right.HasField("error")


async def test_input_passes_when_it_holds_nan_and_infinity(link: RawLink) -> None:
    await link.send(inputs=inputs(np.array([[np.nan, np.inf, -np.inf, 1]], np.float32)))
    (output,) = await link.outputs(1)
    assert np.isnan(values(output.payload)).all()


async def closing(link: RawLink) -> tuple[str, int, str]:
    """The last error's code, and the close code and reason."""
    codes = [""]

    async def read() -> None:
        while True:
            code = (await link.receive()).error.code
            if code:
                codes.append(code)

    with pytest.raises(ConnectionClosed) as closed:
        await read()
    assert closed.value.rcvd is not None
    return codes[-1], closed.value.rcvd.code, closed.value.rcvd.reason


@pytest.mark.parametrize(
    ("frame", "code", "says"),
    [
        pytest.param({"inputs": [Input(seq=2)]}, "seq_gap", "1 was due, 2 came", id="gap"),
        pytest.param(
            {"inputs": [Input(seq=1), Input(seq=3)]}, "seq_gap", "inputs[1].seq", id="inner-gap"
        ),
        pytest.param({"inputs": [Input(seq=0)]}, "seq_repeated", "repeated", id="repeat"),
        pytest.param({"hello": Hello()}, "unexpected_message", "hello", id="second-hello"),
    ],
)
async def test_stream_closes_with_4501_when_the_rules_are_broken(
    link: RawLink, frame: dict[str, object], code: str, says: str
) -> None:
    await link.send(**frame)
    error, close_code, reason = await closing(link)
    assert (error, close_code) == (code, 4501)
    assert says in reason


async def test_stream_closes_with_4501_when_a_seq_is_repeated(link: RawLink) -> None:
    await link.send(inputs=[Input(seq=1, payload=GOOD)])
    await link.outputs(1)
    await link.send(inputs=[Input(seq=1, payload=GOOD)])
    assert (await closing(link))[:2] == ("seq_repeated", 4501)


async def test_stream_closes_with_4501_when_text_comes(link: RawLink) -> None:
    await link.socket.send("hello")
    _, code, reason = await closing(link)
    assert code == 4501
    assert "text" in reason


async def test_stream_closes_with_4501_when_garbage_comes(link: RawLink) -> None:
    await link.socket.send(b"\xff" * 40)
    assert (await closing(link))[:2] == ("garbage", 4501)


async def test_stream_closes_with_4501_when_credits_are_exceeded(link: RawLink) -> None:
    zeros = np.zeros((2000, 4), np.float32)
    await link.send(inputs=inputs(zeros))
    error, code, reason = await closing(link)
    assert (error, code) == ("credit_exceeded", 4501)
    assert "1024" in reason
    assert "2000" in reason


async def test_stream_closes_with_1009_when_a_message_is_too_large(link: RawLink) -> None:
    with contextlib.suppress(ConnectionClosed):
        await link.socket.send(bytes(9 * 1024 * 1024))
    assert (await closing(link))[1] == 1009


async def test_stream_closes_with_4501_when_an_input_comes_before_hello(stack: Stack) -> None:
    record = await stack.add_session("linear")
    async with stack.link(record) as link:
        await link.send(inputs=[Input(seq=1, payload=GOOD)])
        assert (await closing(link))[:2] == ("hello_missing", 4501)


async def test_stream_goes_on_when_an_ack_is_ahead_of_everything(link: RawLink) -> None:
    await link.send(ack=Ack(seq=10**12, last=True))
    await link.send(inputs=inputs(np.zeros((1024, 4), np.float32)))
    assert len(await link.outputs(1024)) == 1024
    # The credit is bounded by what was answered, not by what the client claims.
    await link.send(inputs=inputs(np.zeros((1500, 4), np.float32), first=1025))
    assert (await closing(link))[0] == "credit_exceeded"


async def test_session_is_refused_when_hello_claims_an_output_that_never_was(
    stack: Stack,
) -> None:
    record = await stack.add_session("recurrent")
    async with stack.link(record) as link:
        token = (await link.greet()).resume_token
        await link.send(inputs=inputs(np.zeros((3, 4), np.float32)))
        await link.outputs(3)
    async with stack.link(record, token=token) as link:
        await link.send(hello=Hello(received_seq=9, received_last=True, oldest_retained_seq=1))
        error, code, reason = await closing(link)
    assert error == "protocol_violation"
    assert code == 4502
    assert "received_seq" in reason


async def test_hello_is_refused_when_its_epoch_was_never_given(stack: Stack) -> None:
    record = await stack.add_session("recurrent")
    async with stack.link(record) as link:
        await link.send(hello=Hello(oldest_retained_seq=1, epoch=1 << 40))
        error, code, reason = await closing(link)
    assert (error, code) == ("protocol_violation", 4501)
    assert f"hello.epoch: {1 << 40} was never given" in reason


async def test_command_is_answered_with_an_error_when_it_is_unknown(link: RawLink) -> None:
    await link.send(command=Command(command_id="a", kind=COMMAND_KIND_UNSPECIFIED))
    result = (await link.receive()).command_result
    assert result.error.code == "unknown_command"
    assert "pause" in result.error.message
    await link.send(command=Command(command_id="b", kind=COMMAND_KIND_RESET, arguments="[1]"))
    assert (await link.receive()).command_result.error.code == "invalid_input"


async def test_input_is_answered_as_dropped_when_its_time_is_over_or_it_is_cancelled(
    stack: Stack,
) -> None:
    record = await stack.add_session("recurrent")
    async with stack.link(record) as link:
        await link.greet()
        burst = list(inputs(np.zeros((400, 4), np.float32)))
        burst[399].skip = True
        await link.send(inputs=burst, cancel=Cancel(seq=399))
        outputs = await link.outputs(400)
    assert outputs[398].error.code in {"cancelled", ""}
    assert outputs[399].error.code == "dropped"


# ---------------------------------------------------------------- credentials


async def refused(stack: Stack, *subprotocols: str) -> tuple[int, str]:
    """The status and the text of a refused upgrade."""
    with pytest.raises(InvalidStatus) as caught:
        async with stack.dial(*subprotocols):
            pass
    response = caught.value.response
    return response.status_code, (response.body or b"").decode()


async def test_upgrade_is_refused_when_the_ticket_is_used_again(stack: Stack) -> None:
    record = await stack.add_session("linear")
    ticket = await stack.store.issue_ticket(record.id, ttl_s=60)
    async with stack.dial(f"dc.ticket.{ticket}") as link:
        await link.greet()
    assert await refused(stack, f"dc.ticket.{ticket}") == (
        401,
        "ticket_used: this ticket was used already; tickets are good once\n",
    )


async def test_upgrade_is_refused_when_the_ticket_has_expired(stack: Stack) -> None:
    record = await stack.add_session("linear")
    ticket = await stack.store.issue_ticket(record.id, ttl_s=0.001)
    expired_at = time.monotonic() + 0.002
    await until(lambda: time.monotonic() > expired_at)
    status, text = await refused(stack, f"dc.ticket.{ticket}")
    assert status == 401
    assert "ticket_expired" in text


@pytest.mark.parametrize("credential", ["dc.ticket.AAAA", "dc.resume.AAAA", "dc.ticket.%%%", "x.y"])
async def test_upgrade_is_refused_when_the_credential_is_forged(
    stack: Stack, credential: str
) -> None:
    with pytest.raises((InvalidStatus, ValueError)) as caught:
        async with stack.dial(credential):
            pass
    if isinstance(caught.value, InvalidStatus):
        assert caught.value.response.status_code in {400, 401}


async def test_upgrade_is_refused_when_the_ticket_is_spliced_onto_another_session(
    stack: Stack,
) -> None:
    mine, yours = await stack.add_session("linear"), await stack.add_session("linear")
    tickets = [await stack.store.issue_ticket(r.id, ttl_s=60) for r in (mine, yours)]
    raw = [base64.urlsafe_b64decode(t + "=" * (-len(t) % 4)) for t in tickets]
    spliced = base64.urlsafe_b64encode(raw[1][:16] + raw[0][16:]).decode().rstrip("=")
    assert (await refused(stack, f"dc.ticket.{spliced}"))[0] == 401


async def test_upgrade_is_refused_when_there_is_no_credential(stack: Stack) -> None:
    status, text = await refused(stack)
    assert status == 401
    assert "credential_missing" in text


async def test_older_socket_is_superseded_when_a_new_ticket_attaches(stack: Stack) -> None:
    record = await stack.add_session("recurrent")
    async with stack.link(record) as older, stack.link(record) as newer:
        await newer.greet()
        assert (await closing(older))[1] == 4004
        await newer.send(inputs=[Input(seq=1, payload=GOOD)])
        assert len(await newer.outputs(1)) == 1


async def test_resume_token_before_the_last_is_refused_when_the_last_was_confirmed(
    stack: Stack,
) -> None:
    record = await stack.add_session("linear")
    async with stack.link(record) as link:
        first = (await link.greet()).resume_token
    async with stack.link(record, token=first) as link:
        await link.greet()
        await link.send(inputs=[Input(seq=1, payload=GOOD)])
        await link.outputs(1)

    async def refused_now() -> bool:
        return (await refused(stack, f"dc.resume.{first}"))[0] == 401

    await until(refused_now)


# ---------------------------------------------------------------- slow, silent and vanished


async def test_stream_closes_when_no_hello_comes(running: Running) -> None:
    async with running(gateway={"gateway_hello_timeout_s": 0.05}) as stack:
        record = await stack.add_session("linear")
        async with stack.link(record) as link:
            assert (await closing(link))[:2] == ("hello_missing", 4501)


async def test_stream_closes_with_4003_when_the_client_is_silent(running: Running) -> None:
    async with running(gateway={"gateway_ping_interval_s": 0.05}) as stack:
        record = await stack.add_session("linear")
        async with stack.link(record) as link:
            await link.greet()
            assert (await closing(link))[1] == 4003


async def test_upgrade_is_refused_with_retry_after_when_the_gateway_is_full(
    running: Running,
) -> None:
    async with running(gateway={"gateway_max_connections": 1}) as stack:
        record = await stack.add_session("linear")
        async with stack.link(record) as link:
            await link.greet()
            other = await stack.add_session("linear")
            ticket = await stack.store.issue_ticket(other.id, ttl_s=60)
            with pytest.raises(InvalidStatus) as caught:
                async with stack.dial(f"dc.ticket.{ticket}"):
                    pass
            response = caught.value.response
            assert response.status_code == 503
            assert response.headers["Retry-After"] == "1"


async def test_new_session_is_refused_when_no_worker_is_there(running: Running) -> None:
    async with running(workers=0, gateway={"gateway_placement_timeout_s": 0.1}) as stack:
        record = await stack.add_session("linear")
        async with stack.link(record) as link:
            await link.send(hello=Hello(oldest_retained_seq=1))
            error, code, reason = await closing(link)
    assert (error, code) == ("no_worker", 4006)
    assert "default" in reason


async def test_stream_closes_with_4002_when_the_reader_is_slow(running: Running) -> None:
    wide = {
        "name": "wide",
        "input": {"datatype": "FP32", "shape": [1]},
        "layers": [{"type": "dense", "units": 16384}],
        "seed": 1,
    }
    async with running(gateway={"gateway_max_buffered_bytes": 1 << 20}) as stack:
        await stack.add_network(wide)
        record = await stack.add_session("wide")
        async with stack.link(record) as link:
            await link.greet()
            link.socket.transport.pause_reading()
            await link.send(inputs=inputs(np.ones((500, 1), np.float32)))
            gateway = stack.processes[-1]
            await until(lambda: gateway.metric("dc_gateway_slow_readers_total"))
            link.socket.transport.resume_reading()
            assert (await closing(link))[1] == 4002


async def test_session_waits_when_its_client_vanishes(stack: Stack) -> None:
    record = await stack.add_session("recurrent")
    async with stack.link(record) as link:
        token = (await link.greet()).resume_token
        await link.send(inputs=inputs(np.zeros((100, 4), np.float32)))
        link.socket.transport.abort()

    async def detached() -> bool:
        live = (await stack.store.read([record.id]))[0]
        return live is not None and not live.attached

    await until(detached)
    async with stack.link(record, token=token) as link:
        await link.greet()
        assert len(await link.outputs(100)) == 100


async def test_input_is_answered_with_an_error_when_no_message_holds_its_answer(
    stack: Stack,
) -> None:
    await stack.add_network(
        {
            "name": "wide",
            "input": {"datatype": "FP32", "shape": [64, 1]},
            "layers": [{"type": "dense", "units": 16384}],
        }
    )
    row = vector(np.ones((64, 1), np.float32))
    record = await stack.add_session("wide")
    async with stack.link(record) as link:
        await link.greet()
        await link.send(inputs=[Input(seq=seq, payload=row) for seq in (1, 2)])
        outputs = await link.outputs(2)
    assert [(output.seq, output.error.code) for output in outputs] == [
        (1, "answer_too_large"),
        (2, "answer_too_large"),
    ]
    assert "max_payload" in outputs[0].error.message
