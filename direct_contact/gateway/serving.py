"""The worker that serves a stream: what goes to it, what comes of it, and the next one after it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from broker.frame_items import FrameToWorker
from direct_contact.gateway import replay, telling
from direct_contact.gateway.client_end import ClientEnd
from direct_contact.gateway.placing import Answer, Placing, position
from direct_contact.gateway.unanswered import Unanswered
from direct_contact.session import CloseCode, Cursor, Delivery, ServerMachine, ServerState, before
from protos.dc.internal.v1.envelope_pb2 import (
    RELEASE_ENDED,
    RELEASE_MOVED,
    RELEASE_REFUSED,
    RELEASE_SUPERSEDED,
    RELEASE_UNKNOWN,
    Detach,
    Released,
    ToGateway,
    ToWorker,
)
from protos.dc.v1.stream_pb2 import Ack, ClientFrame
from registry.live import Attachment

if TYPE_CHECKING:
    from direct_contact.gateway.hub import Hub

logger = logging.getLogger(__name__)


class Serving:
    """One attachment's talk with its workers, one after the other.

    It does not know its stream: of a closed one nothing should wait for the garbage collector.

    Args:
        hub: has the links.
        admitted: the attachment.
        client: gets the outputs, and hears of what happens.
        machine: judges what comes; the stream feeds it too.
    """

    __slots__ = (
        "_hub",
        "_links",
        "_placing",
        "_waiting_told",
        "admitted",
        "attachment",
        "client",
        "commands",
        "ending",
        "machine",
        "session",
        "worker",
    )

    def __init__(
        self, hub: Hub, admitted: Attachment, client: ClientEnd, machine: ServerMachine
    ) -> None:
        self.admitted = admitted
        self.session: str = admitted.record.id
        self.attachment: int = admitted.number
        self.client = client
        self.machine = machine
        self.worker = ""
        """The one that serves, or is asked to; after that, the last one."""
        self.commands = Unanswered()
        self.ending = False
        """No worker waits to hear that this attachment is over."""
        self._hub = hub
        self._links = hub.links
        self._placing = Placing(hub)
        self._waiting_told = False

    # ------------------------------------------------------------ what the stream asks for

    def start(self) -> None:
        """The client greeted: find it a worker, its session's owner first."""
        self._placing.start(self, self.admitted.owner)

    def forward(self, frame: bytes, parsed: ClientFrame | None = None) -> None:
        """Pass a frame of the client on; `parsed` is the same."""
        self._links.send(
            self.worker,
            FrameToWorker(frame, self.session, self.machine.epoch, self.attachment, parsed),
        )

    def detach(self, *, final: bool) -> None:
        """The client is gone; with `final` it was told not to come back."""
        if self.worker:
            self.send(ToWorker(detach=Detach(final=final)))

    def stop(self) -> None:
        """The stream is closed: look for no worker any more."""
        self._placing.stop()

    def send(self, item: ToWorker) -> None:
        """Send an item to the worker that serves, or is asked to."""
        item.session = self.session
        item.epoch = self.machine.epoch
        item.attachment = self.attachment
        self._links.send(self.worker, item)

    # ------------------------------------------------------------ what the worker tells

    def receive(self, peer: str, item: ToGateway) -> None:
        """Something came from a worker for this attachment."""
        machine = self.machine
        if peer != self.worker or (machine.epoch and item.epoch < machine.epoch):
            self._hub.stats.stale_envelopes += 1
            return
        if item.HasField("attached"):
            self._attached(item)
        elif item.HasField("released"):
            self._released(item.released)
        elif machine.state is not ServerState.OPEN:
            self._hub.stats.stale_envelopes += 1
        elif item.send_from:
            self._send_again(machine.kept_from(item.send_from))
        else:
            self._deliver(item)

    def _deliver(self, item: ToGateway) -> None:
        machine = self.machine
        machine.progress(
            durable_seq=item.durable_seq,
            window_seq=item.window_seq,
            window_bytes=item.window_bytes,
        )
        if item.dropped:
            machine.dropped.update(item.dropped)
        if item.command_id:
            self.commands.answered(item.command_id)
        if not item.next_seq:
            self.client.send(item.frame)
            return
        first = Cursor(item.first_seq, item.first_part)
        next_due = Cursor(item.next_seq, item.next_part)
        match machine.deliver(first, next_due):
            case Delivery.FORWARD:
                self.client.send(item.frame)
            case Delivery.TRIM:
                self.client.send(replay.outputs_from(item.frame, machine.due))
                machine.trimmed(next_due)
            case Delivery.DROP:
                self.client.send(telling.progress(item))
            case Delivery.GAP:
                self._resynchronise()

    def gap(self) -> None:
        """Items of the worker were lost, perhaps the answer to an earlier wish too."""
        self.machine.syncing = False
        self._resynchronise()

    def _resynchronise(self) -> None:
        """Outputs were lost on the way: ask for them again, once until they come."""
        machine = self.machine
        if machine.state is ServerState.OPEN and not machine.syncing:
            machine.syncing = True
            self.send(ToWorker(send_after=position(machine.acknowledged)))

    def _send_again(self, frames: Iterable[bytes]) -> None:
        # Commands wait for their inputs at the worker; behind them they would come too late.
        for command in self.commands:
            self.forward(command)
        for frame in frames:
            self.forward(replay.without_dropped(frame, self.machine.dropped))
        # Whatever was lost, or came while there was no worker, may have held an acknowledgement.
        self._acknowledge()

    def _acknowledge(self) -> None:
        seq, part, last = before(self.machine.acknowledged)
        if seq:
            ack = ClientFrame(ack=Ack(seq=seq, part=part, last=last))
            self.forward(ack.SerializeToString())

    # ------------------------------------------------------------ from worker to worker

    def _attached(self, item: ToGateway) -> None:
        machine = self.machine
        answer = item.attached
        if machine.state is ServerState.OPEN or not self._placing.awaits(answer.attempt):
            return
        greeting = machine.state is ServerState.ATTACHING
        frames = machine.attached(
            epoch=item.epoch,
            wanted_seq=answer.wanted_seq,
            durable_seq=item.durable_seq,
            window_seq=item.window_seq,
            window_bytes=item.window_bytes,
            lost_to=answer.lost_to,
        )
        if greeting:
            self._welcome(item)
        else:
            self._waiting_told = False
            for told in telling.moved(item, self.worker):
                self.client.send(told)
        self._send_again(frames)
        self._placing.answer(Answer.ATTACHED)

    def _welcome(self, item: ToGateway) -> None:
        self.client.send(
            telling.welcome(
                item,
                self.admitted,
                worker=self.worker,
                next_seq=self.machine.next_seq,
                ping_interval_s=self._hub.settings.gateway_ping_interval_s,
                max_frame_bytes=self._hub.max_frame_bytes,
            )
        )
        logger.info(
            "stream open",
            extra={
                "session": self.session,
                "worker": self.worker,
                "epoch": item.epoch,
                "attachment": self.attachment,
            },
        )

    def gone(self, reason: str) -> None:
        """The worker died, froze or let go: find another one."""
        if self.machine.state is ServerState.CLOSED:
            return
        if self._placing.answer(Answer.GONE):
            return
        if self.machine.state is ServerState.OPEN:
            logger.info(
                "worker lost",
                extra={"session": self.session, "worker": self.worker, "reason": reason},
            )
            self._move("")

    def _move(self, target: str) -> None:
        self.machine.worker_lost()
        self._hub.leave(self)
        self._placing.start(self, target)

    def tell_waiting(self) -> None:
        """No worker is there; told once until one is."""
        if self.machine.state is ServerState.MOVING and not self._waiting_told:
            self._waiting_told = True
            self.client.send(telling.waiting())

    def _released(self, released: Released) -> None:
        release, error = released.release, released.error
        if release in (RELEASE_MOVED, RELEASE_UNKNOWN):
            if not self._placing.answer(Answer.UNKNOWN) and self.machine.state is ServerState.OPEN:
                self._move(released.target)
            return
        later = release == RELEASE_REFUSED and error.retryable
        if later and self._placing.answer(Answer.NO_WORKER):
            # It could not, just now: the session store was away, or it was full meanwhile.
            return
        self.ending = True
        if release == RELEASE_SUPERSEDED:
            self.client.close(CloseCode.SUPERSEDED, "another connection took the session")
            return
        if error.code:
            self.client.send(telling.failed(error))
        if release == RELEASE_ENDED:
            code = CloseCode.EXPIRED if error.code else CloseCode.NORMAL
            self.client.close(code, "the session has ended")
        else:
            self.client.close(CloseCode.GONE, f"{error.code}: {error.message}")
