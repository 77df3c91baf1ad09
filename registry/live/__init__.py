"""The live state of sessions and workers, in Redis."""

from registry.live.credentials import Kind, digest
from registry.live.model import (
    Attachment,
    Hold,
    LiveSession,
    Ownership,
    Save,
    Seat,
    SessionRecord,
    WorkerInfo,
)
from registry.live.store import SessionStore
from registry.live.workers import WorkerDirectory

__all__ = [
    "Attachment",
    "Hold",
    "Kind",
    "LiveSession",
    "Ownership",
    "Save",
    "Seat",
    "SessionRecord",
    "SessionStore",
    "WorkerDirectory",
    "WorkerInfo",
    "digest",
]
