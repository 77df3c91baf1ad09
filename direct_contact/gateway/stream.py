"""One client's stream: glues its socket, the session machine and the worker that serves it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from direct_contact.gateway import replay
from direct_contact.gateway.sockets import Socket
from direct_contact.session import (
    CloseCode,
    Cursor,
    Delivery,
    ServerMachine,
    ServerState,
    after,
    before,
)
from foundation.errors import DirectContactError, LimitExceeded, ProtocolViolation
from protos.dc.internal.v1.envelope_pb2 import (
    RELEASE_ENDED,
    RELEASE_MOVED,
    RELEASE_REFUSED,
    RELEASE_SUPERSEDED,
    RELEASE_UNKNOWN,
    Attach,
    Detach,
    Position,
    Released,
    ToGateway,
    ToWorker,
)
from protos.dc.v1.stream_pb2 import (
    NOTICE_KIND_DRAINING,
    NOTICE_KIND_LOST,
    NOTICE_KIND_MIGRATED,
    NOTICE_KIND_WAITING,
    OUTCOME_LOST,
    Ack,
    ClientFrame,
    Error,
    Notice,
    Pong,
    Progress,
    ServerFrame,
    Welcome,
)
from registry.live import Attachment, digest

if TYPE_CHECKING:
    from direct_contact.gateway.hub import Hub

logger = logging.getLogger(__name__)

ATTACH_TRIES: Final = 4
ATTACH_TIMEOUT_S: Final = 1.0
"""After this long without an answer an Attach is sent again, then the worker given up."""


class Stream:
    """A `SocketHandler`: one attachment of one session, from the upgrade to the close."""

    __slots__ = (
        "_attach_answer",
        "_attempt",
        "_commands",
        "_confirmed",
        "_ending",
        "_hello_timer",
        "_hub",
        "_socket",
        "_waiting_told",
        "admitted",
        "heard_at",
        "machine",
        "opened_at",
        "placing",
        "session",
        "worker",
    )

    def __init__(self, hub: Hub, admitted: Attachment) -> None:
        self.admitted = admitted
        self.session: str = admitted.record.id
        self.machine = ServerMachine()
        self.worker = ""
        self.heard_at = self.opened_at = hub.now()
        self.placing: asyncio.Task[None] | None = None
        self._hub = hub
        self._socket: Socket | None = None
        self._hello_timer: asyncio.TimerHandle | None = None
        self._attach_answer: asyncio.Future[str] | None = None
        self._attempt = 0
        self._commands: dict[str, bytes] = {}
        self._confirmed = False
        self._ending = False
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

    def message(self, data: bytes) -> None:
        """A frame of the client: check it, keep it, pass it on as it came."""
        hub = self._hub
        hub.stats.frames_in += 1
        self.heard_at = hub.now()
        try:
            frame = ClientFrame.FromString(data)
            self._on_frame(frame, data)
        except DecodeError:
            self.fail(ProtocolViolation("the message is not a ClientFrame", code="garbage"))
        except DirectContactError as error:
            self.fail(error)

    def _on_frame(self, frame: ClientFrame, data: bytes) -> None:
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
            self._send(ServerFrame(pong=Pong(nonce=frame.ping.nonce)))
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
            self._keep_command(frame, data)
        if forward:
            # It may have been under way when an answer told of a drop.
            self._forward(replay.without_dropped(data, machine.dropped))
        elif machine.state is ServerState.OPEN:
            # The worker has these inputs already; what came with them is news.
            self._forward(replay.without_inputs(frame))
        if frame.HasField("bye"):
            self._end()

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

    def _keep_command(self, frame: ClientFrame, data: bytes) -> None:
        limit = self._hub.settings_commands
        if len(self._commands) >= limit and frame.command.command_id not in self._commands:
            raise LimitExceeded(f"command: {limit} may be unanswered, {limit + 1} are")
        if frame.inputs:
            data = ClientFrame(command=frame.command).SerializeToString()
        self._commands[frame.command.command_id] = data

    def _on_hello(self, frame: ClientFrame) -> None:
        hello = frame.hello
        self.machine.hello(
            seq=hello.received_seq,
            part=hello.received_part,
            last=hello.received_last,
            oldest_retained_seq=hello.oldest_retained_seq,
        )
        self._disarm_hello()
        self.placing = self._hub.spawn(self._place(self.admitted.owner))

    def broken(self, code: int, reason: str) -> None:
        """The socket layer refused what came."""
        self.fail(ProtocolViolation(reason, code="bad_message"), close_code=code)

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
        self.machine.closed()
        if self.placing is not None:
            self.placing.cancel()
        if self._hub.remove(self) and not self._ending:
            if self.worker:
                self._to_worker(ToWorker(detach=Detach()))
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
        self._send(ServerFrame(error=_error(error)))
        self.close(close_code or hub_close_code(error), f"{error.code}: {error.message}")

    def close(self, code: int, reason: str) -> None:
        """Close the stream; `closed` follows."""
        if self._socket is not None:
            self._socket.close(code, reason)

    def drain(self, reconnect_after_ms: int) -> None:
        """Tell the client that this gateway goes away."""
        self._send(
            ServerFrame(
                notice=Notice(kind=NOTICE_KIND_DRAINING, reconnect_after_ms=reconnect_after_ms)
            )
        )

    # ------------------------------------------------------------ finding a worker

    def worker_gone(self, reason: str) -> None:
        """The worker died, froze or let go: find another one."""
        if self.machine.state is ServerState.CLOSED:
            return
        if self._attach_answer is not None and not self._attach_answer.done():
            self._attach_answer.set_result("gone")
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
        self.placing = self._hub.spawn(self._place(target))

    async def _place(self, worker: str) -> None:
        """Attach to `worker`, or to one that offers itself; go on until one serves."""
        hub = self._hub
        take = bool(worker) and self.machine.state is not ServerState.ATTACHING
        give_up_at = hub.now() + hub.settings.gateway_placement_timeout_s
        avoid: set[str] = set()
        pause_s = 0.02
        while True:
            try:
                if not worker:
                    worker, take = await hub.place(self.admitted.record, frozenset(avoid)), True
                answer = await self._attach(worker, take=take)
            except DirectContactError as error:
                if not error.retryable:
                    self.fail(error)
                    return
                answer = "none"
                if self._may_give_up(give_up_at):
                    self.fail(error, close_code=CloseCode.UNAVAILABLE)
                    return
            if answer == "attached":
                return
            if answer == "gone" and worker:
                avoid.add(worker)
            else:
                avoid.clear()
            worker = ""
            if answer != "unknown":
                if answer == "none":
                    self._tell_waiting()
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 1.6, 0.5)

    def _may_give_up(self, give_up_at: float) -> bool:
        # A session that was served before waits for a worker as long as its client does.
        return self.machine.state is ServerState.ATTACHING and self._hub.now() > give_up_at

    def _tell_waiting(self) -> None:
        if self.machine.state is ServerState.MOVING and not self._waiting_told:
            self._waiting_told = True
            self._send(ServerFrame(notice=Notice(kind=NOTICE_KIND_WAITING)))

    async def _attach(self, worker: str, *, take: bool) -> str:
        """Ask `worker` to serve; "attached", "unknown" (not held there), "gone" or "none"."""
        machine = self.machine
        self.worker = worker
        self._hub.join(self)
        self._attach_answer = asyncio.get_running_loop().create_future()
        self._attempt += 1
        attach = Attach(
            record=self.admitted.record.to_json(),
            acknowledged=_position(machine.acknowledged),
            shown=_position(machine.due),
            attempt=self._attempt,
            oldest_retained_seq=machine.oldest_retained_seq,
            take=take,
            above_epoch=max(machine.epoch, self.admitted.epoch),
            resume_digest=digest("resume", self.admitted.resume_token),
        )
        answer = "gone"
        try:
            for _ in range(ATTACH_TRIES):
                # The broker may lose one; the worker bears a repetition.
                self._to_worker(ToWorker(attach=attach))
                done, _ = await asyncio.wait((self._attach_answer,), timeout=ATTACH_TIMEOUT_S)
                if done:
                    answer = self._attach_answer.result()
                    break
        finally:
            self._attach_answer = None
        if answer != "attached":
            self._hub.leave(self)
        return answer

    def _attached(self, item: ToGateway) -> None:
        machine = self.machine
        answer = item.attached
        if (
            machine.state is ServerState.OPEN
            or self._attach_answer is None
            or answer.attempt != self._attempt
        ):
            # An earlier Attach's answer may still come, from a worker that froze and woke up.
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
            self._tell_moved(item)
        self._send_again(frames)
        if not self._attach_answer.done():
            self._attach_answer.set_result("attached")

    def _welcome(self, item: ToGateway) -> None:
        settings = self._hub.settings
        answer = item.attached
        self._send(
            ServerFrame(
                welcome=Welcome(
                    session_id=self.session,
                    outcome=answer.outcome,
                    durable_seq=item.durable_seq,
                    next_seq=self.machine.next_seq,
                    window_seq=item.window_seq,
                    window_bytes=item.window_bytes,
                    resume_token=self.admitted.resume_token,
                    resume_ttl_ms=int(self.admitted.record.resume_ttl_s * 1000),
                    ping_interval_ms=int(settings.gateway_ping_interval_s * 1000),
                    max_frame_bytes=self._hub.max_frame_bytes,
                    epoch=item.epoch,
                    lost_from=answer.lost_from,
                    lost_to=answer.lost_to,
                    worker=self.worker,
                )
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

    def _tell_moved(self, item: ToGateway) -> None:
        self._waiting_told = False
        answer = item.attached
        if answer.outcome == OUTCOME_LOST:
            self._send(
                ServerFrame(
                    notice=Notice(
                        kind=NOTICE_KIND_LOST,
                        worker=self.worker,
                        epoch=item.epoch,
                        lost_from=answer.lost_from,
                        lost_to=answer.lost_to,
                    )
                )
            )
        notice = Notice(kind=NOTICE_KIND_MIGRATED, worker=self.worker, epoch=item.epoch)
        self._send(ServerFrame(notice=notice, progress=_progress(item)))

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
            self._commands.pop(item.command_id, None)
        if not item.next_seq:
            self._send_bytes(item.frame)
            return
        first = Cursor(item.first_seq, item.first_part)
        next_due = Cursor(item.next_seq, item.next_part)
        match machine.deliver(first, next_due):
            case Delivery.FORWARD:
                self._send_bytes(item.frame)
            case Delivery.TRIM:
                self._send_bytes(replay.outputs_from(item.frame, machine.due))
                machine.trimmed(next_due)
            case Delivery.DROP:
                self._send(ServerFrame(progress=_progress(item)))
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
            self._to_worker(ToWorker(send_after=_position(machine.acknowledged)))

    def _send_again(self, frames: Iterator[bytes]) -> None:
        for frame in frames:
            self._forward(replay.without_dropped(frame, self.machine.dropped))
        for frame in self._commands.values():
            self._forward(frame)
        # Whatever was lost, or came while there was no worker, may have held an acknowledgement.
        self._acknowledge()

    def _acknowledge(self) -> None:
        seq, part, last = before(self.machine.acknowledged)
        if seq:
            ack = ClientFrame(ack=Ack(seq=seq, part=part, last=last))
            self._forward(ack.SerializeToString())

    def _released(self, released: Released) -> None:
        match released.release:
            case _ if released.release == RELEASE_ENDED:
                self._ending = True
                if released.HasField("error"):
                    self._send(ServerFrame(error=released.error))
                code = CloseCode.EXPIRED if released.HasField("error") else CloseCode.NORMAL
                self.close(code, "the session has ended")
            case _ if released.release == RELEASE_SUPERSEDED:
                self._ending = True
                self.close(CloseCode.SUPERSEDED, "another connection took the session")
            case _ if released.release == RELEASE_REFUSED:
                self._ending = True
                self._send(ServerFrame(error=released.error))
                code = CloseCode.UNAVAILABLE if released.error.retryable else CloseCode.GONE
                self.close(code, f"{released.error.code}: {released.error.message}")
            case _ if released.release in (RELEASE_MOVED, RELEASE_UNKNOWN):
                if self._attach_answer is not None and not self._attach_answer.done():
                    self._attach_answer.set_result("unknown")
                elif self.machine.state is ServerState.OPEN:
                    self._move(released.target)

    # ------------------------------------------------------------ sending

    def _forward(self, frame: bytes) -> None:
        self._to_worker(ToWorker(frame=frame))

    def _to_worker(self, item: ToWorker) -> None:
        item.session = self.session
        item.epoch = self.machine.epoch
        item.attachment = self.admitted.number
        self._hub.links.send(self.worker, item)

    def _send(self, frame: ServerFrame) -> None:
        self._send_bytes(frame.SerializeToString())

    def _send_bytes(self, data: bytes) -> None:
        if data and self._socket is not None:
            self._hub.stats.frames_out += 1
            self._socket.send(data)


def hub_close_code(error: DirectContactError) -> CloseCode:
    """The close code that goes with an error which ends a stream."""
    if error.code == "credit_exceeded" or isinstance(error, ProtocolViolation):
        return CloseCode.PROTOCOL
    if isinstance(error, LimitExceeded):
        return CloseCode.QUOTA
    return CloseCode.UNAVAILABLE if error.retryable else CloseCode.GONE


def _error(error: DirectContactError) -> Error:
    return Error(
        code=error.code,
        message=error.message,
        retryable=error.retryable,
        retry_after_ms=int((error.retry_after_s or 0) * 1000),
    )


def _position(cursor: Cursor) -> Position:
    seq, part, last = before(cursor)
    return Position(seq=seq, part=part, last=last)


def _progress(item: ToGateway) -> Progress:
    return Progress(
        durable_seq=item.durable_seq,
        window_seq=item.window_seq,
        window_bytes=item.window_bytes,
    )
