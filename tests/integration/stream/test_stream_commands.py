"""Commands on the stream: at their place among the inputs, each once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from protos.dc.v1.stream_pb2 import (
    COMMAND_KIND_MIGRATE,
    COMMAND_KIND_PAUSE,
    COMMAND_KIND_RESET,
    COMMAND_KIND_RESTORE,
    COMMAND_KIND_RESUME,
    COMMAND_KIND_SNAPSHOT,
    Command,
    CommandResult,
)
from tests.integration.stream.test_session_moves import oracle
from tests.support.stack import RawLink, Stack, inputs, values

ROWS = np.random.default_rng(11).normal(size=(20, 4)).astype(np.float32)


async def result(link: RawLink, outputs: list) -> CommandResult:
    """The next result; outputs that come before it are kept."""
    while not (frame := await link.receive()).HasField("command_result"):
        outputs.extend(frame.outputs)
    outputs.extend(frame.outputs)
    return frame.command_result


async def more(link: RawLink, outputs: list, count: int) -> None:
    """Read until there are so many outputs."""
    while len(outputs) < count:
        outputs.extend((await link.receive()).outputs)


async def test_reset_takes_effect_after_its_input_when_others_were_sent_with_it(
    stack: Stack,
) -> None:
    record = await stack.add_session("recurrent")
    outputs: list = []
    async with stack.link(record) as link:
        await link.greet()
        reset = Command(command_id="one", kind=COMMAND_KIND_RESET, after_seq=5)
        await link.send(inputs=inputs(ROWS), command=reset)
        told = await result(link, outputs)
        await more(link, outputs, 20)
        # Repeating it repeats the answer, not the effect.
        await link.send(command=reset)
        again = await result(link, outputs)
    assert (told.after_seq, told.HasField("error")) == (5, False)
    assert again == told
    expected = oracle(ROWS[:5]) + oracle(ROWS[5:])
    for output, value in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(values(output.payload), value, atol=1e-5)


async def test_reset_is_not_repeated_when_its_worker_died_after_it(
    stack: Stack, tmp_path: Path
) -> None:
    record = await stack.add_session("recurrent")
    outputs: list = []
    async with stack.link(record) as link:
        await link.greet()
        reset = Command(command_id="one", kind=COMMAND_KIND_RESET, after_seq=5)
        await link.send(command=reset)
        await link.send(inputs=inputs(ROWS[:10]))
        told = await result(link, outputs)
        await more(link, outputs, 10)
        stack.processes[0].task.cancel()
        await stack.add_worker(tmp_path / "late", "late")
        await link.send(command=reset, inputs=inputs(ROWS[10:], first=11))
        assert await result(link, outputs) == told
        await more(link, outputs, 20)
    expected = oracle(ROWS[:5]) + oracle(ROWS[5:])
    for output, value in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(values(output.payload), value, atol=1e-5)


async def test_reset_keeps_its_place_when_the_next_worker_gets_inputs_in_several_envelopes(
    stack: Stack, tmp_path: Path
) -> None:
    record = await stack.add_session("recurrent")
    outputs: list = []
    padding = b"\xfa\x07\x80\x80\x10" + bytes(256 * 1024)  # field 127: nobody knows it
    async with stack.link(record) as link:
        await link.greet()
        stack.processes[0].task.cancel()
        with suppress(asyncio.CancelledError):
            await stack.processes[0].task
        reset = Command(command_id="one", kind=COMMAND_KIND_RESET, after_seq=5)
        await link.send(command=reset)
        for one in inputs(ROWS):
            one.MergeFromString(padding)
            await link.send(inputs=[one])
        await stack.add_worker(tmp_path / "late", "late")
        assert (await result(link, outputs)).after_seq == 5
        await more(link, outputs, 20)
    expected = oracle(ROWS[:5]) + oracle(ROWS[5:])
    for output, value in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(values(output.payload), value, atol=1e-5)


async def test_resume_goes_ahead_when_another_command_waits_for_inputs(stack: Stack) -> None:
    record = await stack.add_session("recurrent")
    outputs: list = []
    async with stack.link(record) as link:
        await link.greet()
        await link.send(command=Command(command_id="stop", kind=COMMAND_KIND_PAUSE))
        await result(link, outputs)
        await link.send(inputs=inputs(ROWS[:3]))
        await link.send(command=Command(command_id="r", kind=COMMAND_KIND_RESET, after_seq=3))
        await link.send(command=Command(command_id="go", kind=COMMAND_KIND_RESUME))
        told = [await result(link, outputs) for _ in range(2)]
        await more(link, outputs, 3)
    assert [(one.command_id, one.after_seq) for one in told] == [("go", 0), ("r", 3)]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (COMMAND_KIND_SNAPSHOT, "snapshot"),
        (COMMAND_KIND_RESTORE, "restore"),
        (COMMAND_KIND_MIGRATE, "migrate"),
    ],
)
async def test_command_is_refused_on_the_stream_when_only_rest_can_finish_it(
    stack: Stack, kind: int, name: str
) -> None:
    record = await stack.add_session("recurrent")
    async with stack.link(record) as link:
        await link.greet()
        await link.send(command=Command(command_id="one", kind=kind))  # type: ignore[arg-type]
        error = (await result(link, [])).error
    assert error.code == "rest_only"
    assert f"{name} is not for the stream" in error.message
    assert "POST /v1/sessions/{session}/commands" in error.message
