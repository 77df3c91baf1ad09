"""Sessions as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from registry.networks.spec import NAME_PATTERN
from rest_api.shapes import Body, VersionReference

POOL_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"
State = Literal["open", "attached", "detached", "ended"]
Delivery = Literal["default", "commit_first"]
Mode = Literal["infer", "train"]
Route = Literal["broker", "direct"]
ResumeTtl = Annotated[int, Field(ge=1, le=86_400, strict=True)]
PoolName = Annotated[str, Field(pattern=POOL_PATTERN)]


class ConfigIn(Body):
    """How a session behaves.

    `delivery` commit_first holds outputs back until their checkpoint is written. `resume_ttl_s`
    is how long a session without a connection is kept. `route` direct streams straight to a worker
    that has an endpoint of its own, and through a gateway when that worker is gone.
    """

    delivery: Delivery = "default"
    resume_ttl_s: ResumeTtl = 120
    mode: Mode = "infer"
    pool: PoolName = "default"
    route: Route = "broker"


class ConfigChanges(Body):
    """What of the configuration to change; what is absent stays."""

    delivery: Delivery | None = None
    resume_ttl_s: ResumeTtl | None = None
    mode: Mode | None = None
    route: Route | None = None


class ConfigPatch(Body):
    """A change of a session."""

    config: ConfigChanges


class SessionIn(Body):
    """A session to open. Without a version: `live`, or the newest where there is no `live`."""

    network: Annotated[str, Field(pattern=NAME_PATTERN)]
    version: VersionReference | None = None
    config: ConfigIn = ConfigIn()


class ConfigOut(BaseModel):
    """The configuration of a session."""

    delivery: Delivery
    resume_ttl_s: int
    mode: Mode
    pool: str
    route: Route


class SessionOut(BaseModel):
    """A session.

    `open`: nobody has connected yet. `attached`: connected. `detached`: kept until it is resumed
    or its time is over. `worker` and `epoch` tell who computes; null and 0: nobody yet.
    """

    id: str
    network: str
    version: int
    stateful: bool
    state: State
    config: ConfigOut
    worker: str | None
    epoch: int
    created_at: datetime
    created_by: str
    ended_at: datetime | None
    ended_reason: str | None


class Stream(BaseModel):
    """Where and with what to open the stream: subprotocols `dc.v1` and `dc.ticket.<ticket>`.

    `fallback_url` is where to go, with the same credential, when nobody answers at `url`; null: it
    is a gateway's already.
    """

    url: str
    fallback_url: str | None
    subprotocol: str
    ticket: str
    expires_at: datetime


class SessionOpened(BaseModel):
    """A new session, and the first ticket for its stream."""

    session: SessionOut
    stream: Stream


class TicketIssued(BaseModel):
    """Another ticket for the stream of a session."""

    stream: Stream
