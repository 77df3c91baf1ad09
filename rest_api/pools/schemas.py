"""Pools as JSON."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from rest_api.shapes import Body, Replicas


class PoolPatch(Body):
    """How many workers there should be."""

    replicas: Replicas


class PoolOut(BaseModel):
    """A pool: `replicas` are desired; `ready` and `draining` are there."""

    name: str
    replicas: int
    ready: int
    draining: int
    sessions: int
    capacity: int
    updated_at: datetime
