"""Commands to a session: on its stream, in order with its inputs, or by REST.

What changes only the session (pause, resume, reset) goes on the stream. What becomes part of the
records too (snapshot, restore, train, infer, close), or is decided outside the session (migrate),
goes by REST.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from direct_contact.client.entries import again
from direct_contact.client.errors import AnswerTimeout
from direct_contact.client.rest import RestConnection
from foundation.errors import DirectContactError, InternalError, InvalidInput, LimitExceeded, told
from protos.dc.v1 import stream_pb2 as pb

ON_STREAM: Final[Mapping[str, pb.CommandKind.ValueType]] = MappingProxyType(
    {
        "pause": pb.COMMAND_KIND_PAUSE,
        "resume": pb.COMMAND_KIND_RESUME,
        "reset": pb.COMMAND_KIND_RESET,
    }
)
UNANSWERED: Final = 32
"""A worker remembers its last 64 results: one that is asked for again must be among them."""
MAX_BYTES: Final = 65_536

Outcome = dict[str, Any]


class StreamCommands:
    """The commands of one session that have no result yet, over any number of sockets.

    Each is sent again on every new socket until its result comes: a worker carries a `command_id`
    out once.

    Args:
        wake: called when `next` may have something to send.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._unanswered: dict[str, tuple[pb.Command, asyncio.Future[pb.CommandResult]]] = {}
        self._outgoing: deque[pb.Command] = deque()

    async def carry_out(
        self, kind: str, after_seq: int, arguments: dict[str, Any], timeout_s: float | None
    ) -> Outcome:
        """Send a command and wait for its result.

        Raises:
            AnswerTimeout: none came in time; the command may still take effect.
            LimitExceeded: too many wait for theirs.
            DirectContactError: the worker refused it, or what ended the session.
        """
        if len(self._unanswered) >= UNANSWERED:
            raise LimitExceeded(f"command: {UNANSWERED} wait for their result already")
        command = pb.Command(
            command_id=str(uuid.uuid4()),
            kind=ON_STREAM[kind],
            after_seq=after_seq,
            arguments=json.dumps(arguments) if arguments else "",
        )
        if (size := command.ByteSize()) > MAX_BYTES:
            raise InvalidInput(
                f"arguments: the command has {size} bytes, the limit is {MAX_BYTES}",
                field="arguments",
            )
        future: asyncio.Future[pb.CommandResult] = asyncio.get_running_loop().create_future()
        self._unanswered[command.command_id] = command, future
        self._outgoing.append(command)
        self._wake()
        try:
            async with asyncio.timeout(timeout_s):
                result = await future
        except TimeoutError:
            raise AnswerTimeout(
                f"{kind}: no result within timeout_s={timeout_s:g}; it may still take effect"
            ) from None
        if result.HasField("error"):
            raise _refused(result.error)
        return {
            "command_id": result.command_id,
            "type": kind,
            "after_seq": result.after_seq,
            **_parsed(result.result),
        }

    def next(self) -> pb.Command | None:
        """The next one to send."""
        return self._outgoing.popleft() if self._outgoing else None

    def welcomed(self) -> None:
        """A new socket is up: what has no result, and somebody who waits for it, goes again."""
        self._unanswered = {
            command_id: (command, future)
            for command_id, (command, future) in self._unanswered.items()
            if not future.done()
        }
        self._outgoing = deque(command for command, _ in self._unanswered.values())

    def take(self, result: pb.CommandResult) -> None:
        """A result came; one that nobody waits for is a repetition."""
        _, future = self._unanswered.pop(result.command_id, (None, None))
        if future is not None and not future.done():
            future.set_result(result)

    def end(self, error: DirectContactError) -> None:
        """The session is over: whoever waits learns why."""
        self._outgoing.clear()
        for _, future in self._unanswered.values():
            if not future.done():
                future.set_exception(again(error))
        self._unanswered.clear()


async def command_by_rest(
    rest: RestConnection, session: str, kind: str, after_seq: int, arguments: dict[str, Any]
) -> Outcome:
    """Send a command by REST; returns its result, with `after_seq`."""
    body = {
        "type": kind,
        "arguments": arguments,
        "after_seq": after_seq,
        # Repeating a call that broke off repeats the answer, not the effect.
        "command_id": str(uuid.uuid4()),
    }
    answer = await rest.json("POST", f"sessions/{session}/commands", body=body, idempotent=False)
    result = answer.pop("result", None)
    return {**answer, **result} if isinstance(result, dict) else answer


def new_version(result: Outcome) -> int:
    """The version that a snapshot made, from the command's result."""
    try:
        return int(result["version"])
    except (KeyError, TypeError, ValueError) as error:
        raise InternalError(f"snapshot: no version in the answer {result}") from error


def _refused(error: pb.Error) -> DirectContactError:
    return told(
        error.code,
        error.message,
        retryable=error.retryable,
        retry_after_s=error.retry_after_ms / 1000 or None,
    )


def _parsed(result: str) -> Outcome:
    try:
        parsed = json.loads(result or "{}")
    except ValueError as error:
        raise InternalError(f"a command's result is not JSON: {error}") from error
    return parsed if isinstance(parsed, dict) else {"value": parsed}
