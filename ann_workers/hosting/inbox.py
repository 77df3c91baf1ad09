"""What comes from gateways: each item to its session, each frame's parts to where they belong."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Sequence
from itertools import repeat
from typing import Any, Protocol

from google.protobuf.message import DecodeError

from ann_workers.hosting.command_desk import CommandDesk
from ann_workers.hosting.engine import Engine
from ann_workers.hosting.outbox import Outbox
from ann_workers.hosting.parking import Parking
from ann_workers.hosting.remote import Remote
from ann_workers.hosting.session import HeldSession
from ann_workers.hosting.taking import Taking, due_after
from ann_workers.session import Accepted
from broker.frame_items import FrameToWorker
from broker.input_frames import read_client_frame
from broker.shared import Shared
from foundation.background import Background
from foundation.clock import Monotonic
from protos.dc.internal.v1.envelope_pb2 import RELEASE_UNKNOWN, Release, ToGateway, ToWorker
from protos.dc.v1.stream_pb2 import ClientFrame, Input
from registry.live import Seat

logger = logging.getLogger(__name__)


class InboxHost(Protocol):
    """What the inbox needs of the host."""

    now: Monotonic
    sessions: dict[str, HeldSession]
    by_gateway: Shared[HeldSession]
    ending: set[str]
    engine: Engine
    remote: Remote
    outbox: Outbox
    parking: Parking
    taking: Taking
    desk: CommandDesk
    background: Background

    def adopt(self, session: HeldSession, seat: Seat) -> None:
        """The session's client is at this gateway now."""

    def detach(self, session: HeldSession) -> None:
        """The session's client is gone."""

    def refuse(self, peer: str, item: ToWorker, release: Release.ValueType) -> None:
        """Tell a gateway that its item is not for this worker."""

    def end(self, session: HeldSession, reason: str) -> Coroutine[Any, Any, None]:
        """End the session."""


class Inbox:
    """The `LinkOwner` of a worker's links."""

    def __init__(self, host: InboxHost) -> None:
        self.inputs = 0
        self.stale_envelopes = 0
        self._host = host
        self._sessions = host.sessions
        self._now = host.now

    # ------------------------------------------------------------ what the links tell

    def receive(self, peer: str, items: Sequence[ToWorker]) -> None:
        """Hand each item to its session."""
        sessions = self._sessions
        now = self._now()
        for item in items:
            session = sessions.get(item.session)
            if session is None and item.session in self._host.ending:
                # Its gateway hears of the end in a moment; a new one asks again.
                continue
            if item.HasField("attach"):
                self._host.taking.attach(peer, item, session)
            elif session is None:
                if not item.HasField("detach"):
                    self._host.refuse(peer, item, RELEASE_UNKNOWN)
            elif item.attachment != session.attachment or item.epoch != session.epoch:
                self.stale_envelopes += 1
            elif item.frame:
                if not session.attached:
                    self._found_again(session)
                self._on_frame(session, item, now)
            elif item.HasField("detach"):
                self._host.detach(session)
                if item.detach.final:
                    self._host.parking.park(session)
            elif item.HasField("send_after"):
                # What the gateway misses may have been a wish for inputs.
                self._ask_again(session)
                session.machine.send_again(due_after(item.send_after))
                self._host.outbox.mark(session, progress=True)

    def gap(self, peer: str) -> None:
        """Items of a gateway were lost: ask for the inputs again."""
        for session in self._host.by_gateway.of(peer):
            # Inputs may be missing here, and a wish for outputs may be.
            self._ask_again(session)
            session.machine.send_again()
            self._host.outbox.mark(session, progress=True)

    def gone(self, peer: str, reason: str) -> None:
        """A gateway died: its clients will come back through another one."""
        sessions = self._host.by_gateway.of(peer)
        if sessions:
            logger.warning(
                "gateway gone", extra={"gateway": peer, "sessions": len(sessions), "reason": reason}
            )
        for session in sessions:
            self._host.detach(session)

    def shares(self, peer: str) -> bool:
        """True while sessions are attached through `peer`."""
        return peer in self._host.by_gateway

    def _found_again(self, session: HeldSession) -> None:
        # Its gateway counted as gone, and is not: nothing follows a Detach of that attachment.
        logger.info("a gateway that counted as gone is heard", extra={"session": session.id})
        self._host.adopt(session, session.seat)
        session.machine.send_again()
        self._host.outbox.mark(session, progress=True)

    # ------------------------------------------------------------ frames

    def _on_frame(self, session: HeldSession, item: ToWorker | FrameToWorker, now: float) -> None:
        frame = item.parsed if isinstance(item, FrameToWorker) else None
        if frame is None:
            try:
                frame = read_client_frame(item.frame)
            except DecodeError:
                logger.warning("a gateway passed on what is not a ClientFrame")
                return
        machine = session.machine
        inputs = frame.inputs
        taken = bool(inputs) and self._on_inputs(session, inputs, now)
        if frame.HasField("ack"):
            ack = frame.ack
            machine.acknowledge(due_after(ack))
            self._tell_credit(session)
        if taken:
            self.inputs += len(inputs)
            self._host.engine.schedule(session)
        elif not inputs and not frame.HasField("ack"):
            self._on_control(session, frame)
            return
        if frame.HasField("cancel") or frame.HasField("command") or frame.HasField("bye"):
            self._on_control(session, frame)

    def _on_inputs(self, session: HeldSession, inputs: Sequence[Input], now: float) -> bool:
        """True: some were taken."""
        machine = session.machine
        # The gateway saw to it that the numbers of a frame follow each other.
        if machine.accept_run(inputs[0].seq, len(inputs)):
            session.queue.extend(zip(inputs, repeat(now)))
            return True
        taken = False
        for item in inputs:
            match machine.accept(item.seq):
                case Accepted.TAKEN:
                    session.queue.append((item, now))
                    taken = True
                case Accepted.GAP:
                    self._ask_again(session)
                    break
        return taken

    def _on_control(self, session: HeldSession, frame: ClientFrame) -> None:
        host = self._host
        if frame.HasField("cancel"):
            seq = frame.cancel.seq
            if session.machine.computed_seq < seq < session.machine.next_seq:
                session.cancelled.add(seq)
                host.remote.cancel(session, seq)
        if frame.HasField("command"):
            host.desk.take(session, frame.command, None)
        if frame.HasField("bye"):
            host.background.spawn(host.end(session, "closed by the client"))

    def _tell_credit(self, session: HeldSession) -> None:
        machine = session.machine
        if machine.window_seq - session.progress_sent[1] >= machine.window_inputs // 4:
            self._host.outbox.mark(session, progress=True)

    def _ask_again(self, session: HeldSession) -> None:
        self._host.outbox.send(session, ToGateway(send_from=session.machine.next_seq))
