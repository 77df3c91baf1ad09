"""Many questions under way at once, their answers in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

from direct_contact.client.entries import Entry
from foundation.errors import InvalidInput

AskT = TypeVar("AskT")
AnswerT = TypeVar("AnswerT")


async def pipelined(
    inputs: Iterable[AskT] | AsyncIterable[AskT],
    submit: Callable[[AskT], Entry],
    answer: Callable[[Entry], Awaitable[AnswerT]],
    abandon: Callable[[Entry], None],
    owner: set[asyncio.Task[None]],
    *,
    window: int,
) -> AsyncIterator[AnswerT]:
    """Ask as far ahead as `window` allows; yield each answer when it and all before it are there.

    One task feeds it, so that a slow source does not hold answers back. Ending early, by an error
    or by the caller, abandons what is under way.

    Args:
        inputs: what to ask.
        submit: asks.
        answer: waits for the answer.
        abandon: nobody waits for the answer.
        owner: holds the feeding task while it runs; who owns the set cancels what is left in it.
        window: how many may be under way.
    """
    if window < 1:
        raise InvalidInput(f"window: at least 1, got {window}", field="window")
    asked: asyncio.Queue[Entry | None] = asyncio.Queue()
    slots = asyncio.Semaphore(window)

    async def feed() -> None:
        try:
            if isinstance(inputs, AsyncIterable):
                async for one in inputs:
                    await slots.acquire()
                    asked.put_nowait(submit(one))
            else:
                for one in inputs:
                    await slots.acquire()
                    asked.put_nowait(submit(one))
        finally:
            asked.put_nowait(None)

    feeder = asyncio.create_task(feed())
    owner.add(feeder)
    feeder.add_done_callback(owner.discard)
    entry: Entry | None = None
    try:
        while (entry := await asked.get()) is not None:
            got = await answer(entry)
            slots.release()
            yield got
        # It has ended: if by an error, that is raised here.
        await feeder
    finally:
        feeder.cancel()
        if entry is not None:
            _drop(entry, abandon)
        while not asked.empty():
            if (left := asked.get_nowait()) is not None:
                _drop(left, abandon)
        await asyncio.wait({feeder})


def _drop(entry: Entry, abandon: Callable[[Entry], None]) -> None:
    abandon(entry)
    if entry.answer is not None and not entry.answer.cancel() and not entry.answer.cancelled():
        # It failed while nobody waited: that is known now.
        entry.answer.exception()
