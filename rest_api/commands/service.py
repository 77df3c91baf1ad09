"""What can be told to a session."""

from __future__ import annotations

import secrets
from typing import Any

from pydantic_core import PydanticCustomError

from foundation.errors import Conflict, InvalidInput, NotFound, Unavailable
from registry.records import VersionRecords
from registry.records.sessions import Session
from rest_api.commands.delivery import CommandDelivery, Outcome
from rest_api.commands.schemas import CommandIn, CommandOut, CommandType
from rest_api.edge.authentication import Principal
from rest_api.networks.service import NetworkService
from rest_api.sessions.schemas import SessionOut
from rest_api.sessions.service import SessionService
from rest_api.shapes import parse_reference

CLOSE_TIMEOUT_S = 5.0
"""A worker that does not answer `close` for so long loses the session anyway: it is fenced."""


class CommandService:
    """Commands, with the parts of them that are records: snapshots, restores, modes, ends."""

    def __init__(
        self,
        delivery: CommandDelivery,
        sessions: SessionService,
        networks: NetworkService,
        versions: VersionRecords,
        *,
        timeout_s: float,
    ) -> None:
        self._delivery = delivery
        self._sessions = sessions
        self._networks = networks
        self._versions = versions
        self._timeout_s = timeout_s

    async def command(self, who: Principal, session: str, body: CommandIn) -> CommandOut:
        """Have a command carried out.

        Raises:
            NotFound: there is no such session, or no such version to restore.
            Conflict: no worker holds the session, or it cannot do this.
            InvalidInput: the arguments are wrong.
            Unavailable: the worker did not answer in time.
        """
        record, _ = await self._sessions.living(who, session)
        command_id = body.command_id or secrets.token_urlsafe(12)
        if body.type is CommandType.CLOSE:
            after_seq = await self._close(session, command_id, body.after_seq)
            return CommandOut(command_id=command_id, type=body.type, after_seq=after_seq, result={})
        arguments = dict(body.arguments)
        promote = False
        match body.type:
            case CommandType.SNAPSHOT:
                promote = _promote(arguments)
            case CommandType.RESTORE:
                arguments = await self._restorable(who, record, arguments)
            case _:
                pass
        outcome = await self._delivery.send(
            session,
            body.type,
            command_id,
            arguments=arguments,
            after_seq=body.after_seq,
            timeout_s=self._timeout_s,
        )
        result = outcome.result
        match body.type:
            case CommandType.SNAPSHOT:
                result = await self._recorded(who, record, command_id, outcome, promote=promote)
            case CommandType.RESTORE:
                result = {"version": arguments["version"]} | _without_weights(result)
            case CommandType.TRAIN | CommandType.INFER:
                await self._sessions.write_config(who, session, {"mode": body.type.value})
            case _:
                pass
        return CommandOut(
            command_id=command_id, type=body.type, after_seq=outcome.after_seq, result=result
        )

    async def configure(self, who: Principal, session: str, changes: dict[str, Any]) -> SessionOut:
        """Change a session's configuration; a running session learns its mode as a command.

        Raises:
            NotFound: there is no such session, or it has ended.
            Conflict: the change is not possible any more.
        """
        record, live = await self._sessions.living(who, session)
        changes = {key: value for key, value in changes.items() if record.config.get(key) != value}
        if not changes:
            return await self._sessions.read(who, session)
        if changes.get("mode") == "train":
            await self._require_trainable(who, record)
        if live is not None and live.attachment and changes.keys() == {"mode"}:
            kind = CommandType(changes["mode"])
            await self.command(who, session, CommandIn(type=kind, arguments={}))
            return await self._sessions.read(who, session)
        return await self._sessions.reconfigure(who, session, changes)

    async def end(self, who: Principal, session: str) -> None:
        """End a session; nothing happens when it has ended.

        Raises:
            NotFound: there is no such session.
        """
        shown = await self._sessions.read(who, session)
        if shown.ended_at is None:
            await self._close(session, secrets.token_urlsafe(12), 0)

    async def _close(self, session: str, command_id: str, after_seq: int) -> int:
        """Let the owner end the session in order; without its answer, just end it."""
        try:
            outcome = await self._delivery.send(
                session,
                CommandType.CLOSE,
                command_id,
                arguments={},
                after_seq=after_seq,
                timeout_s=self._timeout_s if after_seq else CLOSE_TIMEOUT_S,
            )
            closed_after = outcome.after_seq
        except (Conflict, Unavailable, NotFound):
            closed_after = 0
        await self._sessions.end(session)
        return closed_after

    async def _restorable(
        self, who: Principal, record: Session, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        try:
            reference = parse_reference(arguments.get("version"))
        except PydanticCustomError as error:
            raise InvalidInput(
                f"restore takes a version of the session's network: {error.message()}",
                field="arguments.version",
            ) from None
        version = await self._versions.read(who.tenant, record.network, reference)
        return {"version": version.version, "weights": version.weights}

    async def _recorded(
        self, who: Principal, record: Session, command_id: str, outcome: Outcome, *, promote: bool
    ) -> dict[str, Any]:
        """Make the weights that the worker stored a version; once for each command."""
        parent = await self._versions.read(who.tenant, record.network, record.version)
        version = await self._networks.derive(
            who,
            parent,
            str(outcome.result.get("weights", "")),
            source="snapshot",
            promote=promote,
            origin=f"snapshot:{record.id}:{command_id}",
        )
        return {"network": record.network, "version": version.version} | _without_weights(
            outcome.result
        )

    async def _require_trainable(self, who: Principal, record: Session) -> None:
        version = await self._versions.read(who.tenant, record.network, record.version)
        if not version.trainable:
            raise Conflict(
                f"network {record.network!r} has no loss or no optimizer: it cannot train",
                code="not_trainable",
                field="config.mode",
            )


def _promote(arguments: dict[str, Any]) -> bool:
    promote = arguments.pop("promote", False)
    if not isinstance(promote, bool):
        raise InvalidInput(
            f"promote must be true or false, got {promote!r}", field="arguments.promote"
        )
    return promote


def _without_weights(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key != "weights"}
