"""Sessions of networks that Triton computes, from their creation to their outputs."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from direct_contact.client import Client
from direct_contact.client.errors import InputFailed
from tests.support.triton import TritonServer, create, x
from tests.system.triton.conftest import SessionOf

WAIT_S = 30.0


async def test_stateless_model_answers_in_order_when_inputs_are_pipelined(
    session_of: SessionOf,
) -> None:
    async with session_of("scale") as session:
        inputs = [x(*range(i, i + 1 + i % 5)) for i in range(200)]
        answers = [answer async for answer in session.infer_many(inputs, window=64)]
        for given, answer in zip(inputs, answers, strict=True):
            np.testing.assert_array_equal(answer, given * 2)


async def test_stateful_model_keeps_a_state_for_each_session(
    client: Client, triton: TritonServer
) -> None:
    network = await create(client, triton, "total")

    async def totals(step: int) -> tuple[set[int], list[float]]:
        async with client.session(network) as session:
            found = [await session.infer_full(x(step)) for _ in range(20)]
            keys = {one.tensors["sequence"].item() for one in found}
            return keys, [one.tensors["total"].item() for one in found]

    sessions = await asyncio.gather(*(totals(step) for step in range(1, 9)))
    for step, (keys, found) in enumerate(sessions, 1):
        assert found == [step * (i + 1) for i in range(20)]
        assert len(keys) == 1
    assert len(set.union(*(keys for keys, _ in sessions))) == len(sessions)


async def test_decoupled_model_answers_in_parts_of_which_the_last_is_marked(
    session_of: SessionOf,
) -> None:
    async with session_of("count") as session:
        for n in (3, 0, 1, 40):
            output = await session.infer_full({"n": np.array([n], np.int32)}, timeout_s=WAIT_S)
            parts = output.parts
            assert [part.part for part in parts] == list(range(len(parts)))
            assert [part.last for part in parts] == [False] * n + [True]
            assert [part.tensors["i"].item() for part in parts[:n]] == list(range(n))
            # Triton tells that an answer is over after its last part, by an empty one.
            assert parts[-1].tensors == {}
        with pytest.raises(InputFailed, match="a negative n: -1") as raised:
            await session.infer({"n": np.array([-1], np.int32)})
        assert raised.value.code == "model_failed"


async def test_texts_and_optional_inputs_pass_when_the_model_takes_them(
    session_of: SessionOf,
) -> None:
    async with session_of("echo") as session:
        texts = np.array(["héllo", "", "a" * 3000], object)
        plain = await session.infer({"text": texts})
        # bytes.upper() leaves what is not ASCII as it is.
        assert list(plain) == ["HéLLO".encode(), b"", b"A" * 3000]
        longer = await session.infer({"text": np.array(["a"], object), "suffix": ["!"]})
        assert list(longer) == [b"A!"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": np.zeros((1, 2), np.float64)}, "x: expected datatype FP32, got FP64"),
        ({"x": np.zeros(2, np.float32)}, r"x: expected shape \[N, N\], got \[2\]"),
        ({"x": np.zeros((17, 2), np.float32)}, "x: expected at most 16 on axis 0, got 17"),
        ({"y": np.zeros((1, 2), np.float32)}, "expected the tensors 'x', got 'y'"),
    ],
)
async def test_wrong_input_is_refused_before_triton_sees_it(
    session_of: SessionOf, given: dict[str, np.ndarray], message: str
) -> None:
    async with session_of("scale") as session:
        with pytest.raises(InputFailed, match=message) as raised:
            await session.infer(given)
        assert raised.value.code == "invalid_input"
        np.testing.assert_array_equal(await session.infer(x(4)), x(8))


async def test_state_goes_on_when_an_input_fails_in_the_model(session_of: SessionOf) -> None:
    async with session_of("total") as session:
        # The first one fails: Triton began a sequence, and the session begins another one.
        with pytest.raises(InputFailed, match="a negative x"):
            await session.infer(x(-1))
        assert (await session.infer(x(5))).item() == 5
        with pytest.raises(InputFailed, match="a negative x"):
            await session.infer(x(-1))
        assert (await session.infer(x(6))).item() == 11
        assert session.stats.outcomes == ["new"]


async def test_state_begins_anew_when_the_session_is_reset(session_of: SessionOf) -> None:
    async with session_of("total") as session:
        before = await session.infer_full(x(5))
        await session.command("reset")
        after = await session.infer_full(x(6))
        assert after.array.item() == 6
        assert before.tensors["sequence"].item() != after.tensors["sequence"].item()
