"""The records: networks, versions, sessions, keys and pools as typed repositories over SQL."""

from registry.records.database import Database, connect
from registry.records.idempotency import IdempotencyRecords
from registry.records.keys import KeyRecords, Role
from registry.records.networks import NetworkRecords
from registry.records.pages import Page
from registry.records.pools import PoolRecords
from registry.records.sessions import SessionRecords
from registry.records.version_rows import Version, VersionDraft
from registry.records.versions import VersionRecords

__all__ = [
    "Database",
    "IdempotencyRecords",
    "KeyRecords",
    "NetworkRecords",
    "Page",
    "PoolRecords",
    "Role",
    "SessionRecords",
    "Version",
    "VersionDraft",
    "VersionRecords",
    "connect",
]
