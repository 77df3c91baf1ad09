"""Commands of sessions: in order, each once, at its input boundary, and answered where asked."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Final, Protocol

from ann_workers.hosting import commands
from ann_workers.hosting.engine import Engine
from ann_workers.hosting.outbox import Outbox
from ann_workers.hosting.session import HeldSession, PendingCommand
from broker.messages import error_message
from foundation.background import Background
from foundation.errors import DirectContactError, InternalError, LimitExceeded, Unavailable
from protos.dc.internal.v1.envelope_pb2 import ToGateway
from protos.dc.v1.stream_pb2 import Command, CommandResult, ServerFrame

logger = logging.getLogger(__name__)

COMMANDS_WAITING: Final = 64
"""Commands that one session may have waiting."""

Asker = asyncio.Future[CommandResult] | None
"""Who waits for the result outside the stream; None: the client, on the stream."""


class DeskHost(commands.SessionHost, Protocol):
    """What the desk needs of the host."""

    engine: Engine
    outbox: Outbox
    background: Background


class CommandDesk:
    """Takes the commands of every session of this worker."""

    def __init__(self, host: DeskHost) -> None:
        self._host = host

    def take(self, session: HeldSession, command: Command, asker: Asker) -> None:
        """Carry the command out at its input boundary; a repeated one is only answered."""
        known = session.results.get(command.command_id)
        if known is not None:
            self._answer(session, known, asker)
            return
        if len(session.commands) >= COMMANDS_WAITING:
            error = LimitExceeded(f"commands: {COMMANDS_WAITING} may wait in one session")
            self._answer(session, _failed(command, session, error), asker)
            return
        for waiting in session.commands:
            if waiting.command.command_id == command.command_id:
                waiting.answer = asker or waiting.answer
                return
        session.commands.append(PendingCommand(command, asker))
        self._host.engine.schedule(session)

    def at_boundary(self, session: HeldSession) -> None:
        """The session stands between two inputs and its first command is due."""
        session.standing = True
        self._host.background.spawn(self._carry_out(session, session.commands.popleft()))

    @staticmethod
    def give_up(session: HeldSession) -> None:
        """The session is not held any more: whoever waits outside the stream asks again."""
        error = Unavailable("the session moved away or ended; repeat the command", code="moved")
        for pending in session.commands:
            if pending.answer is not None and not pending.answer.done():
                pending.answer.set_result(_failed(pending.command, session, error))

    async def _carry_out(self, session: HeldSession, pending: PendingCommand) -> None:
        command = pending.command
        # It counts from here on; the boundary is this input.
        result = CommandResult(
            command_id=command.command_id, after_seq=session.machine.computed_seq, result="{}"
        )
        session.remember(result)
        try:
            outcome = await commands.carry_out(self._host, session, command)
            result.result = json.dumps(outcome)
        except DirectContactError as error:
            session.results.pop(command.command_id, None)
            result.error.CopyFrom(error_message(error))
        except Exception:
            logger.exception("a command failed")
            session.results.pop(command.command_id, None)
            result.error.CopyFrom(error_message(InternalError("the command failed")))
        finally:
            session.standing = False
        self._answer(session, result, pending.answer)
        self._host.engine.schedule(session)

    def _answer(self, session: HeldSession, result: CommandResult, asker: Asker) -> None:
        if asker is not None:
            if not asker.done():
                asker.set_result(result)
        elif session.attached and not session.closed:
            frame = ServerFrame(command_result=result).SerializeToString()
            self._host.outbox.send(session, ToGateway(frame=frame, command_id=result.command_id))


def _failed(command: Command, session: HeldSession, error: DirectContactError) -> CommandResult:
    return CommandResult(
        command_id=command.command_id,
        after_seq=session.machine.computed_seq,
        error=error_message(error),
    )
