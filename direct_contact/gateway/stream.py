"""One client's stream: glues its socket, the session machine and the worker that serves it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from broker.frame_items import FrameToWorker
from broker.input_frames import read_client_frame
from broker.messages import error_message
from direct_contact.gateway import replay, telling
from direct_contact.gateway.placing import Answer, Placing, position
from direct_contact.gateway.runs import RUN_BYTES, runs
from direct_contact.gateway.sockets import Socket
from direct_contact.gateway.unanswered import Unanswered
from direct_contact.session import (
    CloseCode,
    Cursor,
    Delivery,
    ServerMachine,
    ServerState,
    after,
    before,
)
from direct_contact.session.close_codes import code_for, may_reconnect
from foundation.clock import unix_ms
from foundation.errors import DirectContactError, ProtocolViolation
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

EPOCHS_AHEAD: Final = 1_000_000
"""Epochs begin at a time in seconds where Redis lost its data, and go up with each takeover."""


class Stream:
    """A `SocketHandler`: one attachment of one session, from the upgrade to the close."""

    __slots__ = (
        "_commands",
        "_confirmed",
        "_ending",
        "_hello_timer",
        "_hub",
        "_socket",
        "_told",
        "_waiting_told",
        "admitted",
        "heard_at",
        "machine",
        "placing",
        "session",
        "worker",
    )

    def __init__(self, hub: Hub, admitted: Attachment) -> None:
        self.admitted = admitted
        self.session: str = admitted.record.id
        self.machine = ServerMachine()
        self.worker = ""
        self.heard_at = hub.now()
        self.placing = Placing(hub)
        self._hub = hub
        self._socket: Socket | None = None
        self._hello_timer: asyncio.TimerHandle | None = None
        self._commands = Unanswered()
        self._confirmed = False
        self._ending = False
        self._told = 0
        """The code that the client was closed with; 0: it was not."""
        self._waiting_told = False

    # ------------------------------------------------------------ the socket's side

    def opened(self, socket: Socket) -> None:
        """The upgrade is done: Hello is due."""
        self._socket = socket
        self._hub.add(self)
        self._hello_timer = asyncio.get_running_loop().call_later(
            self._hub.settings.gateway_hello_timeout_s, self._no_hello
        )

    def _no_hello(self) -> None:
        limit_s = self._hub.settings.gateway_hello_timeout_s
        self.fail(ProtocolViolation(f"no Hello came within {limit_s:g} s", code="hello_missing"))

    def messages(self, batch: list[bytes]) -> None:
        """Frames of the client: check them, keep them, pass them on as they came."""
        hub = self._hub
        hub.stats.frames_in += len(batch)
        self.heard_at = hub.now()
        for run in runs(batch, min(RUN_BYTES, hub.max_frame_bytes)):
            if len(run) == 1 or not self._take_together(b"".join(run)):
                for data in run:
                    self._take(data)

    def _take_together(self, data: bytes) -> bool:
        """False: nothing was taken; what is wrong concerns one of them, so take each alone."""
        try:
            self._on_frame(read_client_frame(data), data)
        except (DecodeError, DirectContactError):
            return False
        return True

    def _take(self, data: bytes) -> None:
        try:
            self._on_frame(read_client_frame(data), data)
        except DecodeError:
            self.fail(ProtocolViolation("the message is not a ClientFrame", code="garbage"))
        except DirectContactError as error:
            self.fail(error)

    def _on_frame(self, frame: ClientFrame, data: bytes) -> None:
        if self._told:
            return  # It came in the same read as what this stream was closed for.
        if frame.HasField("hello"):
            self._on_hello(frame)
            return
        machine = self.machine
        if machine.state is ServerState.AWAITING_HELLO:
            raise ProtocolViolation("the first message must be Hello", code="hello_missing")
        if not self._confirmed and machine.state is not ServerState.ATTACHING:
            self._confirmed = True
            self._hub.spawn(self._hub.store.confirm(self.session, self.admitted.number))
        if frame.HasField("ping"):
            self._send(telling.pong(frame.ping.nonce))
        forward = machine.state is ServerState.OPEN
        if frame.HasField("ack"):
            ack = frame.ack
            machine.acknowledge(after(ack.seq, ack.part, ack.last))
        if frame.inputs:
            forward = self._accept_inputs(frame, data)
            self._hub.stats.inputs += len(frame.inputs)
        elif not (
            frame.HasField("ack")
            or frame.HasField("cancel")
            or frame.HasField("command")
            or frame.HasField("bye")
        ):
            return
        if frame.HasField("command"):
            self._commands.keep(frame, data)
        self._pass_on(frame, data, whole=forward)
        if frame.HasField("bye"):
            self._end()

    def _pass_on(self, frame: ClientFrame, data: bytes, *, whole: bool) -> None:
        if whole:
            # It may have been under way when an answer told of a drop.
            left = replay.without_dropped(data, self.machine.dropped)
            self._forward(left, frame if left is data else None)
        elif self.machine.state is ServerState.OPEN:
            # The worker has these inputs already; what came with them is news.
            self._forward(replay.without_inputs(data))

    def _end(self) -> None:
        self._ending = True
        if self.machine.state is not ServerState.OPEN:
            # No worker is there to end it.
            reason = "closed by the client"
            self._hub.spawn(self._hub.end(self.session, reason))
            self.close(CloseCode.NORMAL, "the session has ended")

    def _accept_inputs(self, frame: ClientFrame, data: bytes) -> bool:
        inputs = frame.inputs
        first = inputs[0].seq
        count = len(inputs)
        if count > 1:
            for offset in range(1, count):
                if inputs[offset].seq != first + offset:
                    raise ProtocolViolation(
                        f"inputs[{offset}].seq: {first + offset} was due, "
                        f"{inputs[offset].seq} came",
                        code="seq_gap",
                    )
        return self.machine.accept(first_seq=first, count=count, frame=data)

    def _on_hello(self, frame: ClientFrame) -> None:
        hello = frame.hello
        highest_epoch = unix_ms() // 1000 + EPOCHS_AHEAD
        if hello.epoch > highest_epoch:
            raise ProtocolViolation(
                f"hello.epoch: {hello.epoch} was never given, {highest_epoch} is the limit"
            )
        self.machine.hello(
            seq=hello.received_seq,
            part=hello.received_part,
            last=hello.received_last,
            oldest_retained_seq=hello.oldest_retained_seq,
            epoch=hello.epoch,
        )
        self._disarm_hello()
        self.placing.start(self, self.admitted.owner)

    def text(self, _message: str) -> None:
        """The protocol has no text."""
        self.fail(ProtocolViolation("text frames are not part of dc.v1", code="bad_message"))

    def slow(self, buffered_bytes: int) -> None:
        """The client does not read; it can come back and have what it missed."""
        limit = self._hub.settings.gateway_max_buffered_bytes
        self._hub.stats.slow_readers += 1
        self.close(
            CloseCode.TOO_SLOW,
            f"gateway_max_buffered_bytes is {limit}, {buffered_bytes} wait to be read",
        )

    def closed(self, code: int, reason: str) -> None:
        """The link is gone; the session waits for its client to come back."""
        self._disarm_hello()
        self._socket = None
        self.machine.closed()
        self.placing.stop()
        if self._hub.remove(self) and not self._ending:
            if self.worker:
                final = self._told != 0 and not may_reconnect(self._told)
                self.to_worker(ToWorker(detach=Detach(final=final)))
            self._hub.spawn(self._hub.store.detach(self.session, self.admitted.number))
        logger.info(
            "stream closed",
            extra={"session": self.session, "code": code, "reason": reason or "-"},
        )

    def _disarm_hello(self) -> None:
        if self._hello_timer is not None:
            self._hello_timer.cancel()
            self._hello_timer = None

    # ------------------------------------------------------------ closing

    def fail(self, error: DirectContactError, *, close_code: int | None = None) -> None:
        """Tell the client what went wrong, then close."""
        self._send(telling.failed(error_message(error)))
        self.close(close_code or code_for(error), f"{error.code}: {error.message}")

    def close(self, code: int, reason: str) -> None:
        """Close the stream; `closed` follows."""
        # The first one is what the client is told.
        self._told = self._told or code
        if self._socket is not None:
            self._socket.close(code, reason)

    def drain(self, reconnect_after_ms: int) -> None:
        """Tell the client that this gateway goes away."""
        self._send(telling.draining(reconnect_after_ms))

    # ------------------------------------------------------------ finding a worker

    def worker_gone(self, reason: str) -> None:
        """The worker died, froze or let go: find another one."""
        if self.machine.state is ServerState.CLOSED:
            return
        if self.placing.answer(Answer.GONE):
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
        self.placing.start(self, target)

    def tell_waiting(self) -> None:
        """No worker is there; told once until one is."""
        if self.machine.state is ServerState.MOVING and not self._waiting_told:
            self._waiting_told = True
            self._send(telling.waiting())

    def _attached(self, item: ToGateway) -> None:
        machine = self.machine
        answer = item.attached
        if machine.state is ServerState.OPEN or not self.placing.awaits(answer.attempt):
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
                self._send(told)
        self._send_again(frames)
        self.placing.answer(Answer.ATTACHED)

    def _welcome(self, item: ToGateway) -> None:
        self._send(
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
                "attachment": self.admitted.number,
            },
        )

    # ------------------------------------------------------------ the worker's side

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
            self._commands.answered(item.command_id)
        if not item.next_seq:
            self._send(item.frame)
            return
        first = Cursor(item.first_seq, item.first_part)
        next_due = Cursor(item.next_seq, item.next_part)
        match machine.deliver(first, next_due):
            case Delivery.FORWARD:
                self._send(item.frame)
            case Delivery.TRIM:
                self._send(replay.outputs_from(item.frame, machine.due))
                machine.trimmed(next_due)
            case Delivery.DROP:
                self._send(telling.progress(item))
            case Delivery.GAP:
                self.resynchronise()

    def gap(self) -> None:
        """Items of the worker were lost, perhaps the answer to an earlier wish too."""
        self.machine.syncing = False
        self.resynchronise()

    def resynchronise(self) -> None:
        """Outputs were lost on the way: ask for them again, once until they come."""
        machine = self.machine
        if machine.state is ServerState.OPEN and not machine.syncing:
            machine.syncing = True
            self.to_worker(ToWorker(send_after=position(machine.acknowledged)))

    def _send_again(self, frames: Iterator[bytes]) -> None:
        # Commands wait for their inputs at the worker; behind them they would come too late.
        for command in self._commands:
            self._forward(command)
        for frame in frames:
            self._forward(replay.without_dropped(frame, self.machine.dropped))
        # Whatever was lost, or came while there was no worker, may have held an acknowledgement.
        self._acknowledge()

    def _acknowledge(self) -> None:
        seq, part, last = before(self.machine.acknowledged)
        if seq:
            ack = ClientFrame(ack=Ack(seq=seq, part=part, last=last))
            self._forward(ack.SerializeToString())

    def _released(self, released: Released) -> None:
        release, error = released.release, released.error
        if release in (RELEASE_MOVED, RELEASE_UNKNOWN):
            if not self.placing.answer(Answer.UNKNOWN) and self.machine.state is ServerState.OPEN:
                self._move(released.target)
            return
        later = release == RELEASE_REFUSED and error.retryable
        if later and self.placing.answer(Answer.NO_WORKER):
            # It could not, just now: the session store was away, or it was full meanwhile.
            return
        self._ending = True
        if release == RELEASE_SUPERSEDED:
            self.close(CloseCode.SUPERSEDED, "another connection took the session")
            return
        if error.code:
            self._send(telling.failed(error))
        if release == RELEASE_ENDED:
            code = CloseCode.EXPIRED if error.code else CloseCode.NORMAL
            self.close(code, "the session has ended")
        else:
            self.close(CloseCode.GONE, f"{error.code}: {error.message}")

    # ------------------------------------------------------------ sending

    def _forward(self, frame: bytes, parsed: ClientFrame | None = None) -> None:
        self.to_worker(FrameToWorker(frame, parsed=parsed))

    def to_worker(self, item: ToWorker | FrameToWorker) -> None:
        """Send an item to the worker that serves, or is asked to."""
        item.session = self.session
        item.epoch = self.machine.epoch
        item.attachment = self.admitted.number
        self._hub.links.send(self.worker, item)

    def _send(self, data: bytes) -> None:
        if data and self._socket is not None:
            self._hub.stats.frames_out += 1
            self._socket.send(data)
