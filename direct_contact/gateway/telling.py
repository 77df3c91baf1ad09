"""What the gateway itself tells a client, as serialized frames."""

from __future__ import annotations

from protos.dc.internal.v1.envelope_pb2 import ToGateway
from protos.dc.v1.stream_pb2 import (
    NOTICE_KIND_DRAINING,
    NOTICE_KIND_LOST,
    NOTICE_KIND_MIGRATED,
    NOTICE_KIND_WAITING,
    OUTCOME_LOST,
    Error,
    Notice,
    Pong,
    Progress,
    ServerFrame,
    Welcome,
)
from registry.live import Attachment


def welcome(
    item: ToGateway,
    admitted: Attachment,
    *,
    worker: str,
    next_seq: int,
    ping_interval_s: float,
    max_frame_bytes: int,
) -> bytes:
    """The answer to Hello, from the worker's `Attached`."""
    attached = item.attached
    return ServerFrame(
        welcome=Welcome(
            session_id=item.session,
            outcome=attached.outcome,
            durable_seq=item.durable_seq,
            next_seq=next_seq,
            window_seq=item.window_seq,
            window_bytes=item.window_bytes,
            resume_token=admitted.resume_token,
            resume_ttl_ms=int(admitted.record.resume_ttl_s * 1000),
            ping_interval_ms=int(ping_interval_s * 1000),
            max_frame_bytes=max_frame_bytes,
            epoch=item.epoch,
            lost_from=attached.lost_from,
            lost_to=attached.lost_to,
            worker=worker,
        )
    ).SerializeToString()


def moved(item: ToGateway, worker: str) -> list[bytes]:
    """Another worker serves now; where the effect of inputs is gone, that comes first."""
    attached = item.attached
    frames = []
    if attached.outcome == OUTCOME_LOST:
        lost = Notice(
            kind=NOTICE_KIND_LOST,
            worker=worker,
            epoch=item.epoch,
            lost_from=attached.lost_from,
            lost_to=attached.lost_to,
        )
        frames.append(ServerFrame(notice=lost).SerializeToString())
    notice = Notice(kind=NOTICE_KIND_MIGRATED, worker=worker, epoch=item.epoch)
    frames.append(ServerFrame(notice=notice, progress=_progress(item)).SerializeToString())
    return frames


def progress(item: ToGateway) -> bytes:
    """The credits and the durable input that came with an item."""
    return ServerFrame(progress=_progress(item)).SerializeToString()


def waiting() -> bytes:
    """No worker is there: outputs stop until one is back."""
    return ServerFrame(notice=Notice(kind=NOTICE_KIND_WAITING)).SerializeToString()


def draining(reconnect_after_ms: int) -> bytes:
    """The gateway goes away."""
    notice = Notice(kind=NOTICE_KIND_DRAINING, reconnect_after_ms=reconnect_after_ms)
    return ServerFrame(notice=notice).SerializeToString()


def pong(nonce: int) -> bytes:
    """The answer to Ping."""
    return ServerFrame(pong=Pong(nonce=nonce)).SerializeToString()


def failed(error: Error) -> bytes:
    """What went wrong, before the close."""
    return ServerFrame(error=error).SerializeToString()


def _progress(item: ToGateway) -> Progress:
    return Progress(
        durable_seq=item.durable_seq,
        window_seq=item.window_seq,
        window_bytes=item.window_bytes,
    )
