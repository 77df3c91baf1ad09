"""Items that hold a frame, as plain objects that become messages only where a broker carries them.

A protobuf message copies a frame when it gets it and again whenever it is asked for it. Between a
gateway and a worker of one process these items go over as they are. Each has the fields of its
message that go with a frame, and reads like one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protos.dc.internal.v1.envelope_pb2 import ToGateway, ToWorker
from protos.dc.v1.stream_pb2 import ClientFrame


@dataclass(slots=True)
class FrameToWorker:
    """A `ToWorker` that holds a frame."""

    frame: bytes
    session: str = ""
    epoch: int = 0
    attachment: int = 0
    parsed: ClientFrame | None = None
    """The same, where the sender had to parse it; nobody changes it any more."""

    def HasField(self, _: str) -> bool:  # noqa: N802  # protobuf's name
        """None of the fields that tell kinds of items apart is set."""
        return False

    def others(self) -> bytes:
        """The message without its frame, serialized."""
        return ToWorker(
            session=self.session, epoch=self.epoch, attachment=self.attachment
        ).SerializeToString()

    @classmethod
    def of(cls, frame: bytes, others: ToWorker) -> FrameToWorker | None:
        """The item of this frame and the message's other fields; None: there is more in it."""
        if (
            others.frame
            or others.HasField("attach")
            or others.HasField("detach")
            or others.HasField("send_after")
        ):
            return None
        return cls(frame, others.session, others.epoch, others.attachment)


@dataclass(slots=True)
class FrameToGateway:
    """A `ToGateway` that holds a frame."""

    frame: bytes
    session: str = ""
    epoch: int = 0
    attachment: int = 0
    first_seq: int = 0
    first_part: int = 0
    next_seq: int = 0
    next_part: int = 0
    durable_seq: int = 0
    window_seq: int = 0
    window_bytes: int = 0
    dropped: list[int] = field(default_factory=list)
    command_id: str = ""
    send_from: int = 0

    def HasField(self, _: str) -> bool:  # noqa: N802  # protobuf's name
        """None of the fields that tell kinds of items apart is set."""
        return False

    def others(self) -> bytes:
        """The message without its frame, serialized."""
        return ToGateway(
            session=self.session,
            epoch=self.epoch,
            attachment=self.attachment,
            first_seq=self.first_seq,
            first_part=self.first_part,
            next_seq=self.next_seq,
            next_part=self.next_part,
            durable_seq=self.durable_seq,
            window_seq=self.window_seq,
            window_bytes=self.window_bytes,
            dropped=self.dropped,
            command_id=self.command_id,
            send_from=self.send_from,
        ).SerializeToString()

    @classmethod
    def of(cls, frame: bytes, others: ToGateway) -> FrameToGateway | None:
        """The item of this frame and the message's other fields; None: there is more in it."""
        if others.frame or others.HasField("attached") or others.HasField("released"):
            return None
        return cls(
            frame,
            others.session,
            others.epoch,
            others.attachment,
            others.first_seq,
            others.first_part,
            others.next_seq,
            others.next_part,
            others.durable_seq,
            others.window_seq,
            others.window_bytes,
            list(others.dropped),
            others.command_id,
            others.send_from,
        )
