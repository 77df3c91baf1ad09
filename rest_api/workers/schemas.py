"""Workers as JSON."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from registry.live import WorkerInfo
from rest_api.shapes import timestamp


class WorkerOut(BaseModel):
    """A worker as it announced itself. `networks`: `name:version` of those it has loaded.

    `endpoint`: where clients stream straight to it; null: they come through gateways.
    """

    name: str
    pool: str
    host: str
    pid: int
    state: str
    sessions: int
    capacity: int
    networks: list[str]
    endpoint: str | None
    started_at: datetime

    @classmethod
    def of(cls, worker: WorkerInfo) -> WorkerOut:
        """An announcement as JSON."""
        return cls(
            name=worker.name,
            pool=worker.pool,
            host=worker.host,
            pid=worker.pid,
            state=worker.state,
            sessions=worker.sessions,
            capacity=worker.capacity,
            networks=worker.networks,
            endpoint=worker.endpoint or None,
            started_at=timestamp(worker.started_ms),
        )
