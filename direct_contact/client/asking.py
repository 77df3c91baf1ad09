"""Inputs of callers who wait: for the number of what they send, or for its answer."""

from __future__ import annotations

import asyncio

from direct_contact.client.conversation import Conversation
from direct_contact.client.entries import Entry
from direct_contact.client.errors import AnswerTimeout
from direct_contact.client.output import Output
from direct_contact.client.tensors import PayloadLike, TensorLike, encode_payload


async def send(
    conversation: Conversation, x: PayloadLike, target: TensorLike | None, budget_ms: int
) -> int:
    """Send an input whose answer the iterator will show; returns its number."""
    await conversation.inbox.room()
    sent: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    entry = Entry(*_encoded(x, target), budget_ms, sent=sent)
    conversation.submit(entry)
    if sent.done():
        return sent.result()
    try:
        return await sent
    except asyncio.CancelledError:
        conversation.abandon(entry)
        raise


def ask(
    conversation: Conversation, x: PayloadLike, target: TensorLike | None = None, budget_ms: int = 0
) -> Entry:
    """Send an input whose answer is waited for by `answer`."""
    future: asyncio.Future[Output] = asyncio.get_running_loop().create_future()
    entry = Entry(*_encoded(x, target), budget_ms, answer=future)
    conversation.submit(entry)
    return entry


async def answer(conversation: Conversation, entry: Entry, timeout_s: float | None) -> Output:
    """Wait for the answer to what was asked; cancelled, the input is abandoned.

    Raises:
        InputFailed: the server answered with an error.
        AnswerTimeout: it took longer than `timeout_s`.
    """
    future = entry.answer
    assert future is not None  # noqa: S101  # `ask` made it
    timer = None
    if timeout_s is not None:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(timeout_s, _time_out, conversation, entry, timeout_s)
    try:
        output = await future
    except asyncio.CancelledError:
        conversation.abandon(entry)
        raise
    finally:
        if timer is not None:
            timer.cancel()
    if output.error is not None:
        raise output.error
    return output


def _time_out(conversation: Conversation, entry: Entry, timeout_s: float) -> None:
    what = f"input {entry.seq}" if entry.seq else "an input that waits for credit"
    conversation.abandon(entry)
    entry.fail(AnswerTimeout(f"{what}: no answer within timeout_s={timeout_s:g}"))


def _encoded(x: PayloadLike, target: TensorLike | None) -> tuple[bytes, bytes]:
    return encode_payload(x), b"" if target is None else encode_payload(target)
