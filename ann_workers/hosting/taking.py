"""Attaching clients: to sessions that are held here, and to those that are taken over."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

from ann_workers.hosting import careful, checkpoints, claims, commands
from ann_workers.hosting.networks import Networks
from ann_workers.hosting.parking import Parking
from ann_workers.hosting.session import HeldSession, KeptOutput
from ann_workers.session import WorkerMachine
from ann_workers.settings import WorkerSettings
from broker.links import Links
from foundation.clock import Monotonic
from foundation.errors import (
    Conflict,
    DirectContactError,
    InternalError,
    ProtocolViolation,
    Unavailable,
)
from protos.dc.internal.v1.envelope_pb2 import (
    RELEASE_REFUSED,
    RELEASE_SUPERSEDED,
    RELEASE_UNKNOWN,
    Attached,
    Position,
    Release,
    Released,
    ToGateway,
    ToWorker,
)
from protos.dc.v1.stream_pb2 import (
    OUTCOME_LOST,
    OUTCOME_NEW,
    OUTCOME_REPLAYED,
    OUTCOME_RESUMED,
    Ack,
)
from registry.live import Ownership, Seat, SessionRecord, SessionStore
from registry.live.store import STEADY_S

logger = logging.getLogger(__name__)


class Holder(Protocol):
    """What taking needs of the host."""

    name: str
    store: SessionStore
    networks: Networks
    links: Links
    now: Monotonic
    sessions: dict[str, HeldSession]
    parking: Parking

    def hold(self, session: HeldSession) -> None:
        """The session is owned from now on."""

    def adopt(self, session: HeldSession, seat: Seat) -> None:
        """The session's client is at this gateway now."""

    def let_go(self, session: HeldSession, released: Released | None) -> None:
        """The session is not owned any more."""

    def refuse(
        self,
        peer: str,
        item: ToWorker,
        release: Release.ValueType,
        error: DirectContactError | None = None,
    ) -> None:
        """Tell a gateway that its item is not for this worker."""

    def resume(self, session: HeldSession) -> None:
        """Answer and compute for a session that was just attached."""


@dataclass(slots=True)
class TakingStats:
    """How sessions came here, for metrics."""

    new: int = 0
    takeovers: int = 0
    lost: int = 0
    refused: int = 0


class Taking:
    """Answers `Attach`."""

    def __init__(self, host: Holder, settings: WorkerSettings) -> None:
        self.stats = TakingStats()
        self.draining = False
        self._host = host
        self._settings = settings
        self._wanted: dict[str, tuple[str, ToWorker]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def has_room(self) -> bool:
        """True while this worker may take another session."""
        # Sessions whose clients are away give way.
        held = len(self._host.sessions) - len(self._host.parking)
        return not self.draining and held < self._settings.worker_max_sessions

    def attach(self, peer: str, item: ToWorker, held: HeldSession | None) -> None:
        """A gateway asks this worker to serve a session for its attachment."""
        attach = item.attach
        if held is not None:
            if attach.above_epoch > held.epoch:
                # Somebody took it and lost it again while this worker slept.
                self._host.let_go(held, None)
            elif item.attachment < held.attachment:
                self._host.refuse(peer, item, RELEASE_SUPERSEDED)
                return
            else:
                self._reattach(held, peer, item)
                return
        if not attach.take or self.draining:
            self._host.refuse(peer, item, RELEASE_UNKNOWN)
            return
        newest = self._wanted.get(item.session)
        if newest is None or newest[1].attachment <= item.attachment:
            self._wanted[item.session] = (peer, item)
        if newest is None:
            task = asyncio.get_running_loop().create_task(self._take(item.session))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    # ------------------------------------------------------------ a session that is held

    def _reattach(self, session: HeldSession, peer: str, item: ToWorker) -> None:
        due = due_after(item.attach.acknowledged)
        claimable = session.machine.claimable
        if due > claimable:
            error = ProtocolViolation(
                f"hello.received_seq: input {claimable[0] - 1} is the last one that "
                f"came, an output of {item.attach.acknowledged.seq} cannot have been received"
            )
            self._host.refuse(peer, item, RELEASE_REFUSED, error)
            return
        # A lost range counts as acknowledged; the Welcome that told of it may be lost too.
        if due < session.machine.acked and not session.machine.lost[1]:
            error = ProtocolViolation(
                f"hello.received_seq: {item.attach.acknowledged.seq} came, but the outputs up to "
                f"input {session.machine.acked_seq} were acknowledged and are kept no longer"
            )
            self._host.refuse(peer, item, RELEASE_REFUSED, error)
            return
        if session.attached and (session.gateway, session.attachment) != (peer, item.attachment):
            self._host.links.send(
                session.gateway,
                ToGateway(
                    session=session.id,
                    epoch=session.epoch,
                    attachment=session.attachment,
                    released=Released(release=RELEASE_SUPERSEDED),
                ),
            )
        self._answer(session, peer, item, OUTCOME_RESUMED)

    def _answer(self, session: HeldSession, peer: str, item: ToWorker, outcome: int) -> None:
        host = self._host
        machine = session.machine
        place = machine.attach(
            due=due_after(item.attach.acknowledged),
            shown=due_after(item.attach.shown),
            oldest_retained_seq=max(1, item.attach.oldest_retained_seq),
        )
        host.adopt(session, Seat(item.attachment, peer, item.attach.resume_digest))
        if place.lost_to:
            outcome = OUTCOME_LOST
            self.stats.lost += 1
            logger.error(
                "session state lost",
                extra={"session": session.id, "from": place.lost_from, "to": place.lost_to},
            )
        session.progress_sent = (machine.durable_seq, machine.window_seq)
        host.links.send(
            peer,
            ToGateway(
                session=session.id,
                epoch=session.epoch,
                attachment=item.attachment,
                durable_seq=machine.durable_seq,
                window_seq=machine.window_seq,
                window_bytes=machine.window_bytes,
                attached=Attached(
                    outcome=outcome,  # type: ignore[arg-type]  # one of the constants above
                    wanted_seq=place.next_seq,
                    lost_from=place.lost_from,
                    lost_to=place.lost_to,
                    attempt=item.attach.attempt,
                ),
            ),
        )
        host.resume(session)

    # ------------------------------------------------------------ a session that is taken

    async def _take(self, session_id: str) -> None:
        first = self._wanted[session_id][1]
        try:
            held = await self._own(first)
        except DirectContactError as error:
            self._refuse_wanted(session_id, error)
            return
        except Exception:
            logger.exception("a session could not be taken")
            self._refuse_wanted(session_id, InternalError("the session could not be taken"))
            return
        peer, item = self._wanted.pop(session_id)
        session, ownership = held
        self._host.hold(session)
        begins = (
            ownership.checkpoint is None
            and not item.attach.shown.seq
            and item.attach.oldest_retained_seq <= 1
        )
        if begins:
            self.stats.new += 1
        else:
            self.stats.takeovers += 1
        self._answer(session, peer, item, OUTCOME_NEW if begins else OUTCOME_REPLAYED)

    def _refuse_wanted(self, session_id: str, error: DirectContactError) -> None:
        self.stats.refused += 1
        peer, item = self._wanted.pop(session_id)
        release = RELEASE_SUPERSEDED if error.code == "superseded" else RELEASE_REFUSED
        self._host.refuse(peer, item, release, error)

    async def _own(self, item: ToWorker) -> tuple[HeldSession, Ownership]:
        host, settings = self._host, self._settings
        record = SessionRecord.from_json(item.attach.record)
        if len(host.sessions) >= settings.worker_max_sessions and not host.parking.give_way():
            raise Unavailable(
                f"this worker holds {settings.worker_max_sessions} sessions, which is its limit",
                code="workers_full",
            )
        ownership, lane = await asyncio.gather(
            host.store.take(
                record,
                worker=host.name,
                above_epoch=item.attach.above_epoch,
                attachment=item.attachment,
            ),
            host.networks.get(record.tenant, record.network, record.version),
        )
        if ownership.failures >= careful.QUARANTINE_AFTER:
            await self._quarantine(record, ownership)
        stateful = lane.model.signature.stateful
        machine: WorkerMachine[KeptOutput] = WorkerMachine(
            stateful=stateful,
            hold=record.config.get("delivery") == "commit_first",
            window_inputs=settings.worker_window_inputs,
            window_bytes=settings.worker_window_bytes,
        )
        session = HeldSession(record, epoch=ownership.epoch, lane=lane, machine=machine)
        session.paused = ownership.paused
        careful.suspect(session, ownership)
        # The first touch comes early: from then on its owner does not count as failing.
        session.touched_at = host.now() - record.resume_ttl_s / 3 + STEADY_S + 1
        restored = self._restore(session, ownership)
        if not restored and record.config.get("mode") == "train":
            commands.begin_training(session)
        return session, ownership

    async def _quarantine(self, record: SessionRecord, ownership: Ownership) -> None:
        reason = (
            f"quarantined: {ownership.failures} workers in a row ended while they held it, "
            "before they wrote a checkpoint"
        )
        logger.error("session quarantined", extra={"session": record.id, "reason": reason})
        await self._host.store.end(record.id, epoch=ownership.epoch, reason=reason)
        raise Conflict(f"session {record.id} is {reason}", code="session_quarantined")

    def _restore(self, session: HeldSession, ownership: Ownership) -> bool:
        if ownership.checkpoint is None:
            return False
        try:
            checkpoints.restore(session, checkpoints.decode(ownership.checkpoint))
            claims.recover(session)
        except DirectContactError as error:
            # Told to the client as LOST, with the range that nobody can send again.
            logger.warning(
                "checkpoint refused", extra={"session": session.id, "reason": error.message}
            )
            return False
        return True


def due_after(position: Position | Ack) -> tuple[int, int]:
    """The next output that is due after this one, as (seq, part)."""
    if position.seq == 0:
        return 1, 0
    return (position.seq + 1, 0) if position.last else (position.seq, position.part + 1)
