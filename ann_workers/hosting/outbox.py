"""What leaves for gateways: everything of a session that is ready in one event-loop turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from ann_workers.hosting.session import HeldSession, KeptOutput
from broker.envelopes import Item
from broker.frame_items import FrameToGateway
from broker.links import Links
from protos.dc.internal.v1.envelope_pb2 import ToGateway
from protos.dc.v1.stream_pb2 import Progress, ServerFrame

PROGRESS_SHARE: Final = 8
"""Progress rides along when the credit moved by this part of the window."""


class Outbox:
    """Bundles outputs and progress by session, once a turn.

    Args:
        links: carry the bundles.
        frame_bytes: a bundle is split beyond this size.
        may_send: False while this worker's lease is not valid: then nothing leaves.
    """

    def __init__(self, links: Links, *, frame_bytes: int, may_send: Callable[[], bool]) -> None:
        self.outputs = 0
        self._links = links
        self._frame_bytes = frame_bytes
        self._may_send = may_send
        self._marked: dict[HeldSession, bool] = {}
        self._armed = False
        self._leaving: list[tuple[str, Item]] = []

    def mark(self, session: HeldSession, *, progress: bool = False, soon: bool = True) -> None:
        """The session may have something to send; with `progress`, its credits in any case.

        It leaves at the end of this turn, or with `soon` False when the caller flushes.
        """
        self._marked[session] = progress or self._marked.get(session, False)
        if soon and not self._armed:
            self._armed = True
            asyncio.get_running_loop().call_soon(self._turn_over)

    def send(self, session: HeldSession, item: ToGateway) -> None:
        """Send an item for the session's attachment, after what was marked before it."""
        if session in self._marked:
            self.flush()
        self._stamp(session, item)
        self._links.send(session.gateway, item)

    def flush(self) -> None:
        """Send what is marked, now."""
        if not self._may_send():
            return
        marked, self._marked = self._marked, {}
        for session, progress in marked.items():
            if session.attached and not session.closed:
                self._bundle_session(session, progress)
        leaving, self._leaving = self._leaving, []
        self._links.send_now(leaving)

    def _turn_over(self) -> None:
        self._armed = False
        if self._marked:
            self.flush()

    def _bundle_session(self, session: HeldSession, progress: bool) -> None:
        machine = session.machine
        outputs = machine.sendable()
        if not outputs and not progress:
            return
        self.outputs += len(outputs)
        head = self._progress(session, progress)
        start = 0
        while start < len(outputs) or head:
            end, size = start, 0
            while end < len(outputs):
                size += len(outputs[end].frame)
                # One alone leaves as it is, whatever its size; the engine sees to that.
                if end > start and size > self._frame_bytes:
                    break
                end += 1
            self._bundle(session, outputs[start:end], head)
            head = b""
            start = end

    def _bundle(self, session: HeldSession, outputs: list[KeptOutput], head: bytes) -> None:
        item = FrameToGateway(head + b"".join([output.frame for output in outputs]))
        if outputs:
            first, last = outputs[0], outputs[-1]
            item.first_seq = first.seq
            item.first_part = first.part
            if last.last:
                item.next_seq = last.seq + 1
            else:
                item.next_seq = last.seq
                item.next_part = last.part + 1
            dropped = [output.seq for output in outputs if output.dropped]
            if dropped:
                item.dropped.extend(dropped)
        self._stamp(session, item)
        self._leaving.append((session.gateway, item))

    def _progress(self, session: HeldSession, wanted: bool) -> bytes:
        machine = session.machine
        durable_seq, window_seq = machine.durable_seq, machine.window_seq
        told_durable, told_window = session.progress_sent
        step = machine.window_inputs // PROGRESS_SHARE
        if not wanted and window_seq - told_window < step and durable_seq - told_durable < step:
            return b""
        session.progress_sent = (durable_seq, window_seq)
        return ServerFrame(
            progress=Progress(
                durable_seq=durable_seq,
                window_seq=window_seq,
                window_bytes=machine.window_bytes,
            )
        ).SerializeToString()

    @staticmethod
    def _stamp(session: HeldSession, item: ToGateway | FrameToGateway) -> None:
        machine = session.machine
        item.session = session.id
        item.epoch = session.epoch
        item.attachment = session.attachment
        item.durable_seq = machine.durable_seq
        item.window_seq = machine.window_seq
        item.window_bytes = machine.window_bytes
