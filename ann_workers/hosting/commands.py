"""Commands: what each one does to a session, at an input boundary.

A command that changes what later answers are is durable before it is answered: a checkpoint is
written while the session stands still, so that no takeover can show a history without it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from ann_workers.backends.port import State
from ann_workers.hosting.keeping import Keeping
from ann_workers.hosting.networks import Networks
from ann_workers.hosting.session import HeldSession, Lane
from foundation.errors import Conflict, InvalidInput, Unavailable
from protos.dc.v1.stream_pb2 import (
    COMMAND_KIND_CLOSE,
    COMMAND_KIND_INFER,
    COMMAND_KIND_MIGRATE,
    COMMAND_KIND_PAUSE,
    COMMAND_KIND_RESET,
    COMMAND_KIND_RESTORE,
    COMMAND_KIND_RESUME,
    COMMAND_KIND_SNAPSHOT,
    COMMAND_KIND_TRAIN,
    NOTICE_KIND_PAUSED,
    NOTICE_KIND_RESUMED,
    Command,
    CommandKind,
)

Arguments = Mapping[str, Any]


class SessionHost(Protocol):
    """What commands need of their host."""

    networks: Networks
    keeping: Keeping

    async def checkpoint(self, session: HeldSession) -> bool:
        """Make the session durable as it is."""

    async def hand_over(self, session: HeldSession, target: str) -> None:
        """Give the session to another worker."""

    async def end(self, session: HeldSession, reason: str) -> None:
        """End the session."""

    def notify(self, session: HeldSession, kind: int) -> None:
        """Send a Notice."""

    def release(self, session: HeldSession, state: State | None) -> None:
        """Nobody will use this state of the session."""


def arguments(command: Command) -> Arguments:
    """The command's arguments.

    Raises:
        InvalidInput: they are not a JSON object.
    """
    if not command.arguments:
        return {}
    try:
        parsed = json.loads(command.arguments)
    except ValueError as error:
        raise InvalidInput(f"arguments: not JSON: {error}", field="arguments") from None
    if not isinstance(parsed, dict):
        raise InvalidInput(
            f"arguments: a JSON object is needed, {type(parsed).__name__} came", field="arguments"
        )
    return parsed


async def carry_out(host: SessionHost, session: HeldSession, command: Command) -> dict[str, Any]:
    """Do what the command says; returns its result.

    Raises:
        InvalidInput: the kind is unknown, or its arguments are wrong.
        Conflict: the network can't do that.
        Unavailable: it could not be made durable; the session goes on from its last checkpoint.
    """
    known = COMMANDS.get(command.kind)
    if known is None:
        names = ", ".join(sorted(name_of(kind) for kind in COMMANDS))
        raise InvalidInput(
            f"kind: one of {names} is needed, {command.kind} came",
            code="unknown_command",
            field="kind",
        )
    return await known(host, session, arguments(command))


def refused_on_stream(command: Command) -> InvalidInput | None:
    """Why the command is for REST alone; None: it is not."""
    why = REST_ALONE.get(command.kind)
    if why is None:
        return None
    return InvalidInput(
        f"kind: {name_of(command.kind)} is not for the stream, {why}; "
        "use POST /v1/sessions/{session}/commands",
        code="rest_only",
        field="kind",
    )


def name_of(kind: CommandKind.ValueType) -> str:
    """A kind as REST names it, such as ``pause``."""
    return CommandKind.Name(kind).removeprefix("COMMAND_KIND_").lower()


async def _make_durable(host: SessionHost, session: HeldSession) -> None:
    # Its effect lies between two inputs: only a checkpoint keeps it there in a replay.
    session.machine.become_stateful()
    if not await host.checkpoint(session):
        raise Unavailable("the session store does not answer; repeat the command")


async def _keep(host: SessionHost, session: HeldSession) -> None:
    if session.machine.stateful:
        await _make_durable(host, session)
    else:
        await host.keeping.pause(session)


async def _pause(host: SessionHost, session: HeldSession, _: Arguments) -> dict[str, Any]:
    session.paused = True
    await _keep(host, session)
    host.notify(session, NOTICE_KIND_PAUSED)
    return {}


async def _resume(host: SessionHost, session: HeldSession, _: Arguments) -> dict[str, Any]:
    session.paused = False
    await _keep(host, session)
    host.notify(session, NOTICE_KIND_RESUMED)
    return {}


async def _reset(host: SessionHost, session: HeldSession, given: Arguments) -> dict[str, Any]:
    old, session.state = session.state, session.lane.model.new_state()
    if given.get("weights") and session.trainer is not None:
        record = session.record
        session.share(await host.networks.get(record.tenant, record.network, record.version))
    await _make_durable(host, session)
    host.release(session, old)
    return {}


async def _train(host: SessionHost, session: HeldSession, _: Arguments) -> dict[str, Any]:
    begin_training(session)
    await _make_durable(host, session)
    return {}


def begin_training(session: HeldSession) -> None:
    """Inputs with a target change the session's own weights from here on.

    Raises:
        Conflict: the network can't be trained.
    """
    if not session.lane.model.signature.trainable:
        raise Conflict(
            f"the network '{session.record.network}' can't be trained: it has no loss or optimizer",
            code="not_trainable",
        )
    if session.trainer is None:
        session.train_privately(session.lane.model.fork())
    session.training = True
    session.machine.become_stateful()


async def _infer(host: SessionHost, session: HeldSession, _: Arguments) -> dict[str, Any]:
    session.training = False
    await _make_durable(host, session)
    return {}


async def _snapshot(host: SessionHost, session: HeldSession, _: Arguments) -> dict[str, Any]:
    if session.trainer is None:
        raise Conflict(
            "the session has no weights of its own: it was never trained", code="not_trained"
        )
    return {"weights": await host.networks.keep_weights(session.trainer.weights())}


async def _restore(host: SessionHost, session: HeldSession, given: Arguments) -> dict[str, Any]:
    digest = given.get("weights")
    if not isinstance(digest, str) or not digest:
        raise InvalidInput(
            "arguments.weights: the digest of a weights blob is needed", field="arguments.weights"
        )
    weights = await host.networks.weights(digest)
    trainer = session.trainer or session.lane.model.fork()
    trainer.load_weights(weights)
    if session.trainer is None:
        session.train_privately(trainer)
    else:
        session.lane = Lane(trainer)
    session.state = session.lane.model.new_state()
    await _make_durable(host, session)
    return {}


async def _migrate(host: SessionHost, session: HeldSession, given: Arguments) -> dict[str, Any]:
    target = given.get("worker", "")
    if not isinstance(target, str):
        raise InvalidInput(
            "arguments.worker: the name of a worker is needed", field="arguments.worker"
        )
    await host.hand_over(session, target)
    return {}


async def _close(host: SessionHost, session: HeldSession, _: Arguments) -> dict[str, Any]:
    await host.end(session, "closed by command")
    return {}


COMMANDS: Final[
    Mapping[
        CommandKind.ValueType,
        Callable[[SessionHost, HeldSession, Arguments], Awaitable[dict[str, Any]]],
    ]
] = {
    COMMAND_KIND_PAUSE: _pause,
    COMMAND_KIND_RESUME: _resume,
    COMMAND_KIND_RESET: _reset,
    COMMAND_KIND_TRAIN: _train,
    COMMAND_KIND_INFER: _infer,
    COMMAND_KIND_SNAPSHOT: _snapshot,
    COMMAND_KIND_RESTORE: _restore,
    COMMAND_KIND_MIGRATE: _migrate,
    COMMAND_KIND_CLOSE: _close,
}

REST_ALONE: Final[Mapping[CommandKind.ValueType, str]] = {
    COMMAND_KIND_SNAPSHOT: "its weights become a version by REST",
    COMMAND_KIND_RESTORE: "a version's weights are known by REST",
    COMMAND_KIND_MIGRATE: "its worker would be gone before the answer",
}
