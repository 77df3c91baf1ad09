"""The inputs of a session on the client: waiting for credit, on their way, waiting for answers."""

from __future__ import annotations

import asyncio

from direct_contact.client.output import Output
from direct_contact.client.tensors import varint
from foundation.errors import DirectContactError
from protos.dc.v1.stream_pb2 import ClientFrame, Input

FRAME_OVERHEAD_BYTES = 128
"""Room in a frame beside one payload and its target: numbers, tags, lengths and every control
message that may ride along come to less."""

_INPUTS_TAG = bytes((ClientFrame.INPUTS_FIELD_NUMBER << 3 | 2,))
_SKIP = Input(skip=True).SerializeToString()


class Sent:
    """An input as it travels, kept until the server will not ask for it again."""

    __slots__ = ("body", "skip")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.skip = False
        """It was answered as dropped: sent again, it must not be computed."""

    def chunk(self) -> bytes:
        """The input as a field of a ClientFrame; a frame is its fields one after another."""
        body = self.body + _SKIP if self.skip else self.body
        return _INPUTS_TAG + varint(len(body)) + body


class Entry:
    """One input of one caller.

    `answer` is there when its outputs belong to that caller (`infer`) and stay out of the iterator;
    `sent` when the caller waits for its number (`send`).
    """

    __slots__ = (
        "answer",
        "budget_ms",
        "discarded",
        "parts",
        "payload",
        "payload_bytes",
        "sent",
        "seq",
        "started",
        "target",
    )

    def __init__(
        self,
        payload: bytes,
        target: bytes = b"",
        budget_ms: int = 0,
        *,
        answer: asyncio.Future[Output] | None = None,
        sent: asyncio.Future[int] | None = None,
    ) -> None:
        self.payload = payload
        self.target = target
        self.budget_ms = budget_ms
        self.payload_bytes = len(payload) + len(target)
        """What counts against the byte credit."""
        self.answer = answer
        self.sent = sent
        self.seq = 0
        """Its number; 0 while it waits for credit."""
        self.started = 0.0
        self.discarded = False
        """The caller is gone: cancelled at the server, dropped when it comes."""
        self.parts: list[Output] | None = None

    def numbered(self, seq: int, now: float) -> Sent:
        """The input as it travels, now that it has its number."""
        self.seq = seq
        self.started = now
        body = Input(
            seq=seq, payload=self.payload, target=self.target, budget_ms=self.budget_ms
        ).SerializeToString()
        # From here on the bytes live in what is retained.
        self.payload = self.target = b""
        if self.sent is not None and not self.sent.done():
            self.sent.set_result(seq)
        return Sent(body)

    def fail(self, error: DirectContactError) -> None:
        """Tell the caller, if it still waits."""
        for future in (self.sent, self.answer):
            if future is not None and not future.done():
                future.set_exception(error)


def again(error: DirectContactError) -> DirectContactError:
    """The same error for one more caller: a raised one collects each caller's traceback."""
    return type(error)(
        error.message, code=error.code, field=error.field, retry_after_s=error.retry_after_s
    )
