from __future__ import annotations

import asyncio
from typing import Any

import pytest

from foundation.answers import settle


def futures(count: int) -> list[asyncio.Future[Any]]:
    loop = asyncio.get_running_loop()
    return [loop.create_future() for _ in range(count)]


async def test_futures_have_their_answers_when_one_of_them_is_an_error() -> None:
    first, failed, empty = waiting = futures(3)
    settle(waiting, ["a", KeyError("b"), None])
    assert await first == "a"
    with pytest.raises(KeyError, match="b"):
        await failed
    assert await empty is None


async def test_answer_is_passed_over_when_its_caller_went_away() -> None:
    gone, failed, stays = waiting = futures(3)
    gone.cancel()
    failed.cancel()
    settle(waiting, ["a", KeyError("b"), "c"])
    assert gone.cancelled()
    assert failed.cancelled()
    assert await stays == "c"


async def test_settle_refuses_when_an_answer_is_missing() -> None:
    with pytest.raises(ValueError, match="shorter"):
        settle(futures(2), ["a"])
