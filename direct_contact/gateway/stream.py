"""One client's stream: glues its socket, the session machine and the worker that serves it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from broker.input_frames import read_client_frame
from direct_contact.gateway import replay, telling
from direct_contact.gateway.client_end import ClientEnd
from direct_contact.gateway.runs import RUN_BYTES, runs
from direct_contact.gateway.serving import Serving
from direct_contact.gateway.sockets import Socket
from direct_contact.session import CloseCode, ServerMachine, ServerState, after
from direct_contact.session.close_codes import may_reconnect
from foundation.clock import unix_ms
from foundation.errors import DirectContactError, ProtocolViolation
from protos.dc.v1.stream_pb2 import ClientFrame
from registry.live import Attachment

if TYPE_CHECKING:
    from direct_contact.gateway.hub import Hub

logger = logging.getLogger(__name__)

EPOCHS_AHEAD: Final = 1_000_000
"""Epochs begin at a time in seconds where Redis lost its data, and go up with each takeover."""


class Stream:
    """A `SocketHandler`: one attachment of one session, from the upgrade to the close."""

    __slots__ = (
        "_client",
        "_confirmed",
        "_hello_timer",
        "_hub",
        "_stats",
        "heard_at",
        "machine",
        "serving",
        "session",
    )

    def __init__(self, hub: Hub, admitted: Attachment) -> None:
        self.session: str = admitted.record.id
        self.machine = ServerMachine()
        self.heard_at = hub.now()
        self._hub = hub
        self._stats = hub.stats
        self._client = ClientEnd(hub.stats)
        self.serving = Serving(hub, admitted, self._client, self.machine)
        self._hello_timer: asyncio.TimerHandle | None = None
        self._confirmed = False

    # ------------------------------------------------------------ what the socket tells

    def opened(self, socket: Socket) -> None:
        """The upgrade is done: Hello is due."""
        self._client.opened(socket)
        self._hub.add(self)
        self._hello_timer = asyncio.get_running_loop().call_later(
            self._hub.settings.gateway_hello_timeout_s, self._no_hello
        )

    def messages(self, batch: list[bytes]) -> None:
        """Frames of the client: check them, keep them, pass them on as they came."""
        hub = self._hub
        hub.stats.frames_in += len(batch)
        self.heard_at = hub.now()
        hub.poll.heard(len(batch))
        for run in runs(batch, min(RUN_BYTES, hub.max_frame_bytes)):
            if len(run) == 1 or not self._take_together(b"".join(run)):
                for data in run:
                    self._take(data)

    def text(self, _message: str) -> None:
        """The protocol has no text."""
        self._client.fail(
            ProtocolViolation("text frames are not part of dc.v1", code="bad_message")
        )

    def slow(self, buffered_bytes: int) -> None:
        """The client does not read; it can come back and have what it missed."""
        limit = self._hub.settings.gateway_max_buffered_bytes
        self._stats.slow_readers += 1
        self.close(
            CloseCode.TOO_SLOW,
            f"gateway_max_buffered_bytes is {limit}, {buffered_bytes} wait to be read",
        )

    def closed(self, code: int, reason: str) -> None:
        """The link is gone; the session waits for its client to come back."""
        client, serving = self._client, self.serving
        self._disarm_hello()
        client.closed()
        self.machine.closed()
        serving.stop()
        if self._hub.remove(self) and not serving.ending:
            serving.detach(final=client.told != 0 and not may_reconnect(client.told))
            self._hub.spawn(self._hub.store.detach(self.session, serving.attachment))
        logger.info(
            "stream closed",
            extra={"session": self.session, "code": code, "reason": reason or "-"},
        )

    # ------------------------------------------------------------ what the hub asks for

    def close(self, code: int, reason: str) -> None:
        """Close the stream; `closed` follows."""
        self._client.close(code, reason)

    def drain(self, reconnect_after_ms: int) -> None:
        """Tell the client that this gateway goes away."""
        self._client.send(telling.draining(reconnect_after_ms))

    # ------------------------------------------------------------ frames

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
            self._client.fail(ProtocolViolation("the message is not a ClientFrame", code="garbage"))
        except DirectContactError as error:
            self._client.fail(error)

    def _on_frame(self, frame: ClientFrame, data: bytes) -> None:
        if self._client.told:
            return  # It came in the same read as what this stream was closed for.
        if frame.HasField("hello"):
            self._on_hello(frame)
            return
        machine = self.machine
        if machine.state is ServerState.AWAITING_HELLO:
            raise ProtocolViolation("the first message must be Hello", code="hello_missing")
        if not self._confirmed and machine.state is not ServerState.ATTACHING:
            self._confirmed = True
            self._hub.spawn(self._hub.store.confirm(self.session, self.serving.attachment))
        if frame.HasField("ping"):
            self._client.send(telling.pong(frame.ping.nonce))
        forward = machine.state is ServerState.OPEN
        if frame.HasField("ack"):
            ack = frame.ack
            machine.acknowledge(after(ack.seq, ack.part, ack.last))
        if frame.inputs:
            forward = self._accept_inputs(frame, data)
            self._stats.inputs += len(frame.inputs)
        elif not (
            frame.HasField("ack")
            or frame.HasField("cancel")
            or frame.HasField("command")
            or frame.HasField("bye")
        ):
            return
        if frame.HasField("command"):
            self.serving.commands.keep(frame, data)
        self._pass_on(frame, data, whole=forward)
        if frame.HasField("bye"):
            self._end()

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

    def _pass_on(self, frame: ClientFrame, data: bytes, *, whole: bool) -> None:
        if whole:
            # It may have been under way when an answer told of a drop.
            left = replay.without_dropped(data, self.machine.dropped)
            self.serving.forward(left, frame if left is data else None)
        elif self.machine.state is ServerState.OPEN:
            # The worker has these inputs already; what came with them is news.
            self.serving.forward(replay.without_inputs(data))

    def _end(self) -> None:
        self.serving.ending = True
        if self.machine.state is not ServerState.OPEN:
            # No worker is there to end it.
            reason = "closed by the client"
            self._hub.spawn(self._hub.end(self.session, reason))
            self.close(CloseCode.NORMAL, "the session has ended")

    # ------------------------------------------------------------ Hello

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
        self.serving.start()

    def _no_hello(self) -> None:
        limit_s = self._hub.settings.gateway_hello_timeout_s
        self._client.fail(
            ProtocolViolation(f"no Hello came within {limit_s:g} s", code="hello_missing")
        )

    def _disarm_hello(self) -> None:
        if self._hello_timer is not None:
            self._hello_timer.cancel()
            self._hello_timer = None
