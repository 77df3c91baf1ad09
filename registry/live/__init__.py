"""The live state of sessions and workers, in Redis."""

from registry.live.credentials import Kind
from registry.live.model import (
    Attachment,
    Hold,
    LiveSession,
    Ownership,
    Save,
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
    "SessionRecord",
    "SessionStore",
    "WorkerDirectory",
    "WorkerInfo",
]
