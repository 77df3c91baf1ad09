"""What the session store holds, as values."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

DEFAULT_RESUME_TTL_S = 120.0
RECORDS_KEPT = 32_768
"""Records whose JSON is kept: more than a worker holds by default."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """The facts of one session, made by the REST API.

    Args:
        id: as `registry.ids.new_session_id` makes it.
        tenant: whose it is.
        network: the network's name.
        version: the network's version.
        pool: the workers that serve it.
        stateful: whether there is a state to checkpoint.
        config: ``delivery``, ``resume_ttl_s``, ``route``, ``mode``.
        created_ms: milliseconds since 1970.
    """

    id: str
    tenant: str
    network: str
    version: int
    pool: str
    stateful: bool
    config: dict[str, Any] = field(default_factory=dict, hash=False)
    created_ms: int = 0

    @property
    def resume_ttl_s(self) -> float:
        """How long the session waits for its client."""
        return float(self.config.get("resume_ttl_s", DEFAULT_RESUME_TTL_S))

    @property
    def direct(self) -> bool:
        """Whether clients stream straight to the worker, where it has an endpoint."""
        return self.config.get("route") == "direct"

    @property
    def network_key(self) -> str:
        """The network's version as workers name it among those of all tenants."""
        return f"{self.tenant}.{self.network}.{self.version}"

    def to_json(self) -> bytes:
        """The record as JSON; `from_json` gives an equal one."""
        facts = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(facts, separators=(",", ":"), sort_keys=True).encode()

    def kept_json(self) -> bytes:
        """As `to_json`, made once: for the owner, which names its record in each checkpoint."""
        return _kept_json(self)

    @classmethod
    def from_json(cls, data: bytes | str) -> SessionRecord:
        """The record of `to_json`.

        Raises:
            ValueError, TypeError: it is not one.
        """
        return cls(**json.loads(data))


@lru_cache(maxsize=RECORDS_KEPT)
def _kept_json(record: SessionRecord) -> bytes:
    return record.to_json()


@dataclass(frozen=True, slots=True)
class Attachment:
    """One socket's turn at a session.

    Args:
        record: the session's facts.
        number: counts from 1; the highest is the one that is served.
        resume_token: the credential of the next attach.
        owner: the worker that owns the session; "": none yet.
        epoch: of that ownership; 0: none yet.
        previous_gateway: the gateway that was attached until now; "": none was.
        first: no socket was attached before.
    """

    record: SessionRecord
    number: int
    resume_token: str
    owner: str
    epoch: int
    previous_gateway: str
    first: bool


@dataclass(frozen=True, slots=True)
class Ownership:
    """What a worker gets when it takes a session.

    Args:
        epoch: higher than any before; the worker names it in every write.
        checkpoint: as last saved; None: none was.
        failures: how many owners in a row went away without releasing it.
        trying: the input that the last one of them computed, where it told of it; 0: it did not.
        deaths: how many of them ended over that input.
        paused: the last owner's word, where there is no checkpoint to tell it.
    """

    epoch: int
    checkpoint: bytes | None
    failures: int
    trying: int = 0
    deaths: int = 0
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Seat:
    """Who is attached, as the owner knows it: put back where Redis lost it.

    Args:
        attachment: the current one's number.
        gateway: where its socket is; "": nowhere now.
        resume_digest: of its resume token.
    """

    attachment: int = 0
    gateway: str = ""
    resume_digest: str = ""


NOBODY = Seat()


@dataclass(frozen=True, slots=True)
class Hold:
    """An owner's claim that it still holds a session.

    Args:
        record: the session's facts, to make the record again if Redis lost it.
        epoch: of the ownership.
        worker: the owner, for the same purpose.
        seat: who is attached, for the same purpose.
        paused: whether it computes nothing until it is resumed.
    """

    record: SessionRecord
    epoch: int
    worker: str = ""
    seat: Seat = NOBODY
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Save:
    """A checkpoint to be written under an epoch. The other fields are those of `Hold`."""

    session: str
    epoch: int
    data: bytes
    record: SessionRecord
    worker: str = ""
    seat: Seat = NOBODY


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A session as the store has it.

    Args:
        record: the session's facts.
        owner: the worker that owns it; "": none.
        epoch: of the last ownership; 0: none yet.
        gateway: where its socket is; "": nowhere.
        attachment: the number of the last attachment; 0: none yet.
        attached: whether a gateway has its socket.
        ended_reason: "" while it lives; set, the fields above except `record` are empty.
    """

    record: SessionRecord
    owner: str = ""
    epoch: int = 0
    gateway: str = ""
    attachment: int = 0
    attached: bool = False
    ended_reason: str = ""


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What a worker tells of itself.

    Args:
        name: new at each process start.
        pool: which networks' work it takes.
        host: where it runs.
        pid: its process there.
        sessions: how many it holds.
        capacity: how many it can hold.
        started_ms: milliseconds since 1970.
        state: ``ready`` or ``draining``.
        networks: ``name:version`` of those it has loaded.
        endpoint: where clients stream straight to it; "": nowhere.
    """

    name: str
    pool: str
    host: str = ""
    pid: int = 0
    sessions: int = 0
    capacity: int = 0
    started_ms: int = 0
    state: str = "ready"
    networks: list[str] = field(default_factory=list, hash=False)
    endpoint: str = ""

    def to_json(self) -> bytes:
        """As JSON; `from_json` gives an equal one."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes | str) -> WorkerInfo:
        """The value of `to_json`."""
        return cls(**json.loads(data))
