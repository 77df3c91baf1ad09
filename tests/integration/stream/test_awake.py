"""When the processes of a stream stay awake for its next frame, on both routes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from tests.support.conditions import until
from tests.support.stack import RawLink, Running, Stack, inputs

LIMIT_S = 0.01
ROWS = np.random.default_rng(3).normal(size=(16, 4)).astype(np.float32)


@pytest.fixture
async def stack(running: Running, either_parts: dict[str, Any]) -> AsyncIterator[Stack]:
    async with running(**either_parts, busy_poll={"busy_poll_us": int(LIMIT_S * 1e6)}) as started:
        yield started


def awake(stack: Stack) -> set[str]:
    """Which halves are."""
    return {
        half
        for half in ("gateway", "worker")
        for process in stack.processes
        if process.registry.get_sample_value(f"dc_{half}_awake")
    }


async def silence(stack: Stack) -> None:
    """Long enough that the next frame is a lone one."""
    await until(lambda: not awake(stack))
    last = time.monotonic()
    await until(lambda: time.monotonic() - last > 2 * LIMIT_S)


async def answer(link: RawLink, seq: int, count: int = 1) -> None:
    await link.send(inputs=inputs(ROWS[:count], first=seq))
    assert len(await link.outputs(count)) == count


async def test_processes_sleep_when_a_lone_input_came(stack: Stack) -> None:
    async with stack.link(await stack.add_session("linear")) as link:
        await link.greet()
        for seq in range(1, 6):
            await silence(stack)
            await answer(link, seq)
            assert awake(stack) == set()


async def test_processes_stay_awake_when_inputs_come_one_by_one(stack: Stack) -> None:
    async with stack.link(await stack.add_session("linear")) as link:
        await link.greet()
        seen: set[str] = set()
        seq = 0
        while seen != {"gateway", "worker"}:
            seq += 1
            assert seq < 1000, seen
            await answer(link, seq)
            seen |= awake(stack)
        await until(lambda: not awake(stack))
