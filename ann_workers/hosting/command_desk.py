"""Commands of sessions: in order, each once, at its input boundary, and answered where asked."""

from __future__ import annotations

import json
import logging
from typing import Final, Protocol

from ann_workers.hosting import commands
from ann_workers.hosting.engine import Engine
from ann_workers.hosting.outbox import Outbox
from ann_workers.hosting.session import Asker, HeldSession, PendingCommand
from broker.messages import error_message
from foundation.background import Background
from foundation.errors import DirectContactError, InternalError, LimitExceeded, Unavailable
from protos.dc.internal.v1.envelope_pb2 import ToGateway
from protos.dc.v1.stream_pb2 import (
    COMMAND_KIND_RESUME,
    COMMAND_KIND_SNAPSHOT,
    Command,
    CommandResult,
    ServerFrame,
)

logger = logging.getLogger(__name__)

COMMANDS_WAITING: Final = 64
"""Commands that one session may have waiting."""


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
        refused = commands.refused_on_stream(command) if asker is None else None
        if refused is not None:
            self._answer(session, _failed(command, session, refused), asker)
            return
        for pending in filter(None, (session.carrying, *session.commands)):
            if pending.command.command_id == command.command_id:
                if asker not in pending.askers:
                    pending.askers.append(asker)
                return
        known = session.results.get(command.command_id)
        if known is not None:
            self._answer(session, known, asker)
            return
        if len(session.commands) >= COMMANDS_WAITING:
            error = LimitExceeded(f"commands: {COMMANDS_WAITING} may wait in one session")
            self._answer(session, _failed(command, session, error), asker)
            return
        session.commands.insert(_place(session, command), PendingCommand(command, [asker]))
        self._host.engine.schedule(session)

    def at_boundary(self, session: HeldSession) -> None:
        """The session stands between two inputs and its first command is due."""
        session.standing = True
        session.carrying = session.commands.popleft()
        self._host.background.spawn(self._carry_out(session, session.carrying))

    @staticmethod
    def give_up(session: HeldSession) -> None:
        """The session is not held any more: whoever waits outside the stream asks again."""
        error = Unavailable("the session moved away or ended; repeat the command", code="moved")
        for pending in session.commands:
            for asker in pending.askers:
                if asker is not None and not asker.done():
                    asker.set_result(_failed(pending.command, session, error))

    async def _carry_out(self, session: HeldSession, pending: PendingCommand) -> None:
        command = pending.command
        # The boundary is this input.
        result = CommandResult(
            command_id=command.command_id, after_seq=session.machine.computed_seq, result="{}"
        )
        if command.kind != COMMAND_KIND_SNAPSHOT:
            # The checkpoint that holds its effect holds its result. A snapshot's is not known yet.
            session.remember(result)
        try:
            outcome = await commands.carry_out(self._host, session, command)
            result.result = json.dumps(outcome)
            session.remember(result)
        except DirectContactError as error:
            session.results.pop(command.command_id, None)
            result.error.CopyFrom(error_message(error))
        except Exception:
            logger.exception("a command failed")
            session.results.pop(command.command_id, None)
            result.error.CopyFrom(error_message(InternalError("the command failed")))
        finally:
            session.standing = False
            session.carrying = None
        for asker in pending.askers:
            self._answer(session, result, asker)
        self._host.engine.schedule(session)

    def _answer(self, session: HeldSession, result: CommandResult, asker: Asker) -> None:
        if asker is not None:
            if not asker.done():
                asker.set_result(result)
        elif session.attached and not session.closed:
            frame = ServerFrame(command_result=result).SerializeToString()
            self._host.outbox.send(session, ToGateway(frame=frame, command_id=result.command_id))


def _place(session: HeldSession, command: Command) -> int:
    """Last; but a resume goes ahead of what waits for inputs, since those may wait for it."""
    waiting, computed_seq = session.commands, session.machine.computed_seq
    if command.kind == COMMAND_KIND_RESUME and command.after_seq <= computed_seq:
        for place, other in enumerate(waiting):
            if other.command.after_seq > computed_seq:
                return place
    return len(waiting)


def _failed(command: Command, session: HeldSession, error: DirectContactError) -> CommandResult:
    return CommandResult(
        command_id=command.command_id,
        after_seq=session.machine.computed_seq,
        error=error_message(error),
    )
