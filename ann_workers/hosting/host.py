"""All sessions of one worker: held, attached, let go; and the parts that serve them."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ann_workers.backends.port import State
from ann_workers.hosting.checkpoints import Checkpointer
from ann_workers.hosting.command_desk import CommandDesk
from ann_workers.hosting.engine import Engine
from ann_workers.hosting.inbox import Inbox
from ann_workers.hosting.keeping import Keeping
from ann_workers.hosting.lease import Lease
from ann_workers.hosting.networks import Networks
from ann_workers.hosting.outbox import Outbox
from ann_workers.hosting.parking import Parking
from ann_workers.hosting.remote import Remote
from ann_workers.hosting.session import HeldSession
from ann_workers.hosting.taking import Taking
from broker.links import Links
from broker.messages import error_message
from broker.shared import Shared
from foundation.background import Background
from foundation.busy_poll import BusyPoll
from foundation.clock import Monotonic, monotonic
from foundation.errors import DirectContactError, Unavailable
from foundation.pulse import Pulse
from protos.dc.internal.v1.envelope_pb2 import (
    RELEASE_ENDED,
    RELEASE_MOVED,
    RELEASE_UNKNOWN,
    Release,
    Released,
    ToGateway,
    ToWorker,
)
from protos.dc.v1.stream_pb2 import Notice, NoticeKind, ServerFrame
from registry.live import Seat, SessionStore

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class HostStats:
    """Plain counters, for metrics."""

    fenced: int = 0
    ended: int = 0
    moved: int = 0


class Host:
    """Owns sessions. What each part needs of it stands there, as a `Protocol`."""

    def __init__(
        self,
        *,
        name: str,
        store: SessionStore,
        networks: Networks,
        poll: BusyPoll,
        clock: Monotonic = monotonic,
    ) -> None:
        self.name = name
        self.store = store
        self.networks = networks
        self.poll = poll
        self.now = clock
        self.stats = HostStats()
        self.sessions: dict[str, HeldSession] = {}
        self.by_gateway: Shared[HeldSession] = Shared()
        """Of them, those that are attached."""
        self.ending: set[str] = set()
        """Sessions that are over, until the store knows."""
        # Joined by the composition root: they and the host need each other.
        self.links: Links
        self.engine: Engine
        self.remote: Remote
        self.outbox: Outbox
        self.parking: Parking
        self.checkpoints: Checkpointer
        self.taking: Taking
        self.lease: Lease
        self.boundary = Pulse()
        """Beats when sessions reach an input boundary, or their checkpoints are written."""
        self.background = Background()
        self.desk = CommandDesk(self)
        self.inbox = Inbox(self)
        self.keeping = Keeping(self)

    # ------------------------------------------------------------ what the parts tell

    def answered(self, session: HeldSession) -> None:
        """The session has new outputs, and stands at an input boundary; a flush follows."""
        self.boundary.beat()
        self.outbox.mark(session, soon=False)
        self.checkpoints.note(session)
        if not session.attached:
            self.parking.weigh(session)

    def written(self, session: HeldSession) -> None:
        """A checkpoint of the session is durable: held outputs may leave, credits moved."""
        session.careful = False
        self.outbox.mark(session, progress=True)

    def answer_again(self) -> None:
        """The lease is good again: what waited leaves."""
        self.outbox.flush()

    # ------------------------------------------------------------ what commands ask for

    def notify(self, session: HeldSession, kind: int) -> None:
        """Send a Notice to the client, if it is there."""
        if session.attached:
            notice = Notice(kind=NoticeKind.Name(kind), epoch=session.epoch)  # type: ignore[arg-type]  # protobuf takes the name too
            self.outbox.send(
                session, ToGateway(frame=ServerFrame(notice=notice).SerializeToString())
            )

    async def checkpoint(self, session: HeldSession) -> bool:
        """Make the session durable as it is. False: it could not be written."""
        await self.boundary.until(lambda: not session.checkpointing)
        return not session.closed and await self.checkpoints.write([session])

    def release(self, session: HeldSession, state: State | None) -> None:
        """Nobody will use this state of the session; where it is kept elsewhere, it is freed."""
        if session.lane.remote is not None and state is not None and not session.busy:
            self.remote.release(session.lane.remote, state)

    # ------------------------------------------------------------ attaching and letting go

    def hold(self, session: HeldSession) -> None:
        """The session is owned from now on."""
        self.sessions[session.id] = session

    def adopt(self, session: HeldSession, seat: Seat) -> None:
        """The session's client is at this gateway now."""
        self._leave_gateway(session)
        self.parking.back(session)
        session.seat = seat
        session.attached = True
        self.by_gateway.add(seat.gateway, session)

    def resume(self, session: HeldSession) -> None:
        """Answer and compute for a session that was just attached."""
        self.outbox.mark(session)
        self.checkpoints.note(session)
        self.engine.schedule(session)

    def detach(self, session: HeldSession) -> None:
        """The session's client is gone; it is kept for its resume time, while there is room."""
        self._leave_gateway(session)
        session.detached_at = self.now()
        self.parking.left(session)

    def _leave_gateway(self, session: HeldSession) -> None:
        session.attached = False
        self.by_gateway.remove(session.gateway, session)

    def refuse(
        self,
        peer: str,
        item: ToWorker,
        release: Release.ValueType,
        error: DirectContactError | None = None,
    ) -> None:
        """Tell a gateway that its item is not for this worker, and why."""
        released = Released(release=release)
        if error is not None:
            released.error.CopyFrom(error_message(error))
        self.links.send(
            peer,
            ToGateway(
                session=item.session,
                epoch=item.epoch,
                attachment=item.attachment,
                released=released,
            ),
        )

    def let_go(self, session: HeldSession, released: Released | None) -> None:
        """The session is not owned any more; its gateway is told, if it is attached."""
        if session.closed:
            return
        if released is not None and session.attached:
            self.outbox.send(session, ToGateway(released=released))
        session.closed = True
        self.checkpoints.forget(session)
        self.parking.back(session)
        self.remote.forget(session)
        self._leave_gateway(session)
        if self.sessions.get(session.id) is session:
            del self.sessions[session.id]
        self.desk.give_up(session)

    def fenced(self, session: HeldSession) -> None:
        """Another worker owns the session: forget it, its client is served there."""
        self.stats.fenced += 1
        logger.warning(
            "fenced: another worker owns the session",
            extra={"session": session.id, "epoch": session.epoch},
        )
        self.let_go(session, Released(release=RELEASE_UNKNOWN))

    async def end(self, session: HeldSession, reason: str) -> None:
        """The session is over: delete what is kept of it."""
        if session.closed:
            return
        attached = session.attached
        self.outbox.flush()
        self.ending.add(session.id)
        self.let_go(session, None)
        self.release(session, session.state)
        self.stats.ended += 1
        try:
            await self.store.end(session.id, epoch=session.epoch, reason=reason)
        finally:
            self.ending.discard(session.id)
            if attached:
                # Who hears of the end may rely on it: its network can be deleted now.
                self.outbox.send(session, ToGateway(released=Released(release=RELEASE_ENDED)))

    async def hand_over(self, session: HeldSession, target: str) -> None:
        """Checkpoint at the input boundary, give up ownership, and send the client elsewhere.

        Raises:
            Unavailable: the checkpoint could not be written; the session stays.
        """
        if session.machine.dirty_inputs and not await self.checkpoint(session):
            raise Unavailable("the session store does not answer; repeat the command")
        if session.closed:
            return
        self.stats.moved += 1
        self.outbox.flush()
        self.let_go(session, Released(release=RELEASE_MOVED, target=target))
        await self.store.release(session.id, session.epoch)
