"""The machine between the user's calls and whatever socket is up: credit, and frames.

No socket here: frames come in parsed and go out as bytes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from direct_contact.client.acknowledging import Acknowledging
from direct_contact.client.commanding import StreamCommands
from direct_contact.client.entries import FRAME_OVERHEAD_BYTES, Entry, Sent, again
from direct_contact.client.inbox import Inbox
from direct_contact.client.output import SessionStats
from direct_contact.session import ClientMachine, ClientState, before
from foundation.errors import DirectContactError, InvalidInput
from protos.dc.v1 import stream_pb2 as pb

_DROPPED = frozenset(
    {"deadline_exceeded", "cancelled", "dropped", "compute_timeout", "input_quarantined"}
)


class Conversation:
    """One session's inputs and outputs, over any number of sockets.

    Args:
        loop: the session's event loop; every call happens there.
        wake: called when `next_frame` may have something to send.
        max_unread: see `Inbox`.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None], *, max_unread: int
    ) -> None:
        self.machine: ClientMachine[Sent] = ClientMachine()
        self.inbox = Inbox(loop, max_unread=max_unread)
        self.commands = StreamCommands(wake)
        self.stats = SessionStats()
        self.max_frame_bytes = 1 << 20
        self.ending: DirectContactError | None = None
        self.said_bye = False
        self._loop = loop
        self._wake = wake
        self._waiting: deque[Entry] = deque()
        self._outgoing: deque[Sent] = deque()
        self._cancels: deque[int] = deque()
        self._ping = 0
        self._bye_wanted = False
        self._acks = Acknowledging(loop, self.machine, wake)

    # ------------------------------------------------------------ the user's calls

    def submit(self, entry: Entry) -> None:
        """Send an input, now or as soon as there is credit, in the order of the calls.

        Raises:
            InvalidInput: it does not fit into one frame.
            DirectContactError: what ended the session.
        """
        if self.ending is not None:
            raise again(self.ending) from self.ending
        limit = self.max_frame_bytes - FRAME_OVERHEAD_BYTES
        if entry.payload_bytes > limit:
            raise InvalidInput(
                f"input: payload and target have {entry.payload_bytes} bytes, one frame of this "
                f"server takes {limit} (max_frame_bytes {self.max_frame_bytes})",
                code="input_too_large",
                field="payload",
            )
        if not self._waiting and self.machine.has_credit(entry.payload_bytes):
            self._number(entry)
        else:
            self._waiting.append(entry)
            self._acks.consider(lacking=True)

    def abandon(self, entry: Entry) -> None:
        """The caller of this input is gone: cancel it where it is, drop what comes of it."""
        if entry.discarded:
            return
        entry.discarded = True
        entry.parts = None
        entry.payload = entry.target = b""
        if entry.seq == 0:
            # It still waits for credit; others behind it may be sent without.
            self._grant()
        elif self.inbox.awaits(entry.seq):
            self._cancels.append(entry.seq)
            self._wake()

    def ping(self, nonce: int) -> None:
        """Ask for a sign of life."""
        self._ping = nonce
        self._wake()

    def say_bye(self) -> None:
        """End the session behind everything that is to be sent."""
        self._bye_wanted = True
        self._wake()

    def end(self, error: DirectContactError) -> None:
        """The session is over: every caller that waits learns why. Only the first call counts."""
        if self.ending is not None:
            return
        self.ending = error
        self.machine.end()
        self._acks.stop()
        self._outgoing.clear()
        self._cancels.clear()
        self.inbox.end(error)
        self.commands.end(error)
        for entry in self._waiting:
            entry.fail(again(error))
        self._waiting.clear()

    # ------------------------------------------------------------ a socket comes and goes

    def hello(self, epoch: int) -> bytes:
        """A socket is up: the first frame on it. `epoch`: the highest that was told."""
        machine = self.machine
        machine.connected()
        seq, part, last = before(machine.due)
        return pb.ClientFrame(
            hello=pb.Hello(
                received_seq=seq,
                received_part=part,
                received_last=last,
                oldest_retained_seq=machine.oldest_retained_seq,
                epoch=epoch,
            )
        ).SerializeToString()

    def disconnected(self) -> None:
        """The socket is gone; what it had not taken is still retained."""
        self.machine.disconnected()
        self._acks.stop()
        self._ping = 0

    # ------------------------------------------------------------ frames in

    def take(self, frame: pb.ServerFrame) -> None:
        """Everything of a frame that concerns inputs and outputs.

        Raises:
            ProtocolViolation: it breaks the rules; the session can't go on.
        """
        if frame.HasField("welcome"):
            self._welcomed(frame.welcome)
        if frame.HasField("notice") and frame.notice.kind == pb.NOTICE_KIND_LOST:
            self._lose(frame.notice.lost_from, frame.notice.lost_to)
        if frame.outputs:
            self._take_outputs(frame.outputs)
        if frame.HasField("command_result"):
            self.commands.take(frame.command_result)
        if frame.HasField("progress"):
            progress = frame.progress
            self.machine.progress(
                durable_seq=progress.durable_seq,
                window_seq=progress.window_seq,
                window_bytes=progress.window_bytes,
            )
        if self._waiting:
            self._grant()
        self._acks.consider(lacking=bool(self._waiting))

    def _welcomed(self, welcome: pb.Welcome) -> None:
        if welcome.max_frame_bytes:
            self.max_frame_bytes = welcome.max_frame_bytes
        if welcome.outcome == pb.OUTCOME_LOST:
            self._lose(welcome.lost_from, welcome.lost_to)
        never_sent = len(self._outgoing)
        self._outgoing = deque(
            kept.item
            for kept in self.machine.welcome(
                durable_seq=welcome.durable_seq,
                next_seq=welcome.next_seq,
                window_seq=welcome.window_seq,
                window_bytes=welcome.window_bytes,
            )
        )
        self.stats.inputs_resent += max(0, len(self._outgoing) - never_sent)
        # A Cancel may have gone down with the last socket; repeating one is harmless.
        self._cancels = deque(self.inbox.discarded())
        self.commands.welcomed()
        self._acks.due = False
        self._wake()

    def _lose(self, lost_from: int, lost_to: int) -> None:
        if lost_to:
            unanswered = self.machine.lose(lost_to)
            self.stats.inputs_lost += self.inbox.lost(unanswered, lost_from, lost_to)

    def _take_outputs(self, outputs: Iterable[pb.Output]) -> None:
        machine = self.machine
        for output in outputs:
            if not machine.receive(output.seq, output.part, output.last):
                continue
            if output.HasField("error") and output.error.code in _DROPPED:
                kept = machine.retained(output.seq)
                if kept is not None:
                    kept.item.skip = True
            self.stats.outputs_received += 1
            self.inbox.deliver(output)

    # ------------------------------------------------------------ frames out

    def next_frame(self) -> bytes | None:
        """Everything that is ready, as one frame of at most `max_frame_bytes`; None: nothing is.

        Call it until it answers None.
        """
        if self.machine.state is not ClientState.OPEN or self.said_bye:
            return None
        command = self.commands.next()
        if command is not None:
            # Ahead of what waits here: it names its input, and must be there before the next one.
            return pb.ClientFrame(command=command).SerializeToString()
        fields = self._next_inputs()
        control = self._next_control()
        if control is None and not fields and not self._acks.due:
            return None
        self._acks.due = False
        cursor = self.machine.acknowledgement()
        if cursor is not None:
            if control is None:
                control = pb.ClientFrame()
            seq, part, last = before(cursor)
            control.ack.seq = seq
            control.ack.part = part
            control.ack.last = last
        if control is not None:
            fields.append(control.SerializeToString())
        return b"".join(fields) or None

    def _next_inputs(self) -> list[bytes]:
        fields: list[bytes] = []
        outgoing = self._outgoing
        room = self.max_frame_bytes - FRAME_OVERHEAD_BYTES
        while outgoing:
            chunk = outgoing[0].chunk()
            room -= len(chunk)
            if fields and room < 0:
                break
            fields.append(chunk)
            outgoing.popleft()
        return fields

    def _next_control(self) -> pb.ClientFrame | None:
        control: pb.ClientFrame | None = None
        if self._ping:
            control = pb.ClientFrame(ping=pb.Ping(nonce=self._ping))
            self._ping = 0
        if self._outgoing:
            # What is below must not overtake an input.
            return control
        while self._cancels:
            seq = self._cancels.popleft()
            if self.inbox.awaits(seq):
                if control is None:
                    control = pb.ClientFrame()
                control.cancel.seq = seq
                return control
        if self._bye_wanted:
            if control is None:
                control = pb.ClientFrame()
            control.bye.SetInParent()
            self.said_bye = True
        return control

    # ------------------------------------------------------------ credit

    def _number(self, entry: Entry) -> None:
        machine = self.machine
        sent = entry.numbered(machine.next_seq, self._loop.time())
        machine.submit(sent, entry.payload_bytes)
        self.inbox.expect(entry)
        self._outgoing.append(sent)
        self.stats.inputs_sent += 1
        self._wake()

    def _grant(self) -> None:
        waiting = self._waiting
        while waiting:
            entry = waiting[0]
            if not entry.discarded:
                if not self.machine.has_credit(entry.payload_bytes):
                    return
                self._number(entry)
            waiting.popleft()
