"""How a command reaches the worker that holds the session."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from broker import subjects
from broker.port import Broker
from foundation import errors
from foundation.clock import monotonic
from protos.dc.internal.v1 import envelope_pb2
from protos.dc.v1 import stream_pb2
from registry.live import SessionStore
from rest_api.commands.schemas import CommandType
from rest_api.problems import WorkerUnavailable

RETRY_S = 0.05
"""A takeover takes about 0.1 s; the owner is looked up again until then."""
NOT_OWNED = frozenset({"not_held"})
"""The session moved between our look and the worker's."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the worker answered."""

    after_seq: int
    result: dict[str, Any]


class CommandDelivery:
    """Sends commands to the owners of sessions, following a session that moves meanwhile."""

    def __init__(self, broker: Broker, store: SessionStore) -> None:
        self._broker = broker
        self._store = store

    async def send(
        self,
        session: str,
        kind: CommandType,
        command_id: str,
        *,
        arguments: dict[str, Any],
        after_seq: int = 0,
        timeout_s: float,
    ) -> Outcome:
        """Send one command and wait for its outcome. Repeating it is safe by its `command_id`.

        Raises:
            Conflict: no worker holds the session, or it cannot do this now.
            InvalidInput: the worker refuses the arguments.
            NotFound: the session has ended.
            Unavailable: no worker answered in time.
        """
        command = stream_pb2.Command(
            command_id=command_id,
            kind=kind.kind,
            after_seq=after_seq,
            arguments=json.dumps(arguments) if arguments else "",
        )
        request = envelope_pb2.CommandRequest(session=session, command=command).SerializeToString()
        deadline = monotonic() + timeout_s
        while True:
            owner = await self._owner(session)
            left_s = deadline - monotonic()
            try:
                answer = await self._broker.request(
                    subjects.worker_commands(owner), request, timeout_s=max(left_s, RETRY_S)
                )
                return _outcome(answer)
            except errors.Unavailable as error:
                # Nobody listens: the worker is gone, and another will own the session.
                moved = error.code == "no_responders" or error.code in NOT_OWNED
                if not moved or monotonic() + RETRY_S >= deadline:
                    raise WorkerUnavailable(
                        f"the worker did not answer within {timeout_s:g} s; the command may still "
                        f"take effect: repeat it with command_id {command_id!r} to learn",
                        code="command_timeout",
                        retry_after_s=1,
                    ) from error
            await asyncio.sleep(RETRY_S)

    async def _owner(self, session: str) -> str:
        live = (await self._store.read([session]))[0]
        if live is None or live.ended_reason:
            raise errors.NotFound(f"session {session!r} has ended", code="session_ended")
        if not live.owner:
            raise errors.Conflict(
                f"session {session!r} is not attached to a worker yet: open its stream first",
                code="not_attached",
            )
        return live.owner


def _outcome(answer: bytes) -> Outcome:
    try:
        result = envelope_pb2.CommandReply.FromString(answer).result
        content = json.loads(result.result) if result.result else {}
    except (DecodeError, ValueError) as error:
        raise errors.InternalError(f"a worker's answer does not parse: {error}") from error
    if result.HasField("error"):
        raise _refusal(result.error)
    return Outcome(result.after_seq, content if isinstance(content, dict) else {"value": content})


def _refusal(error: stream_pb2.Error) -> errors.DirectContactError:
    """The worker's error as one of ours; what it says is for the client, unless it is a fault."""
    if error.code in NOT_OWNED:
        return errors.Unavailable(error.message, code=error.code)
    refusal = errors.told(error.code, error.message, retryable=error.retryable)
    if isinstance(refusal, errors.Unavailable):
        return WorkerUnavailable(
            error.message, code=error.code, retry_after_s=error.retry_after_ms / 1000 or 1
        )
    return refusal
