"""What the REST API tells about, as typed records. Unknown fields are ignored, times are text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self


class Record:
    """The parent of every record."""

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """The record in a JSON answer.

        Raises:
            TypeError: a field without a default is missing.
        """
        # Every record is a dataclass.
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        return cls(**{name: value for name, value in answer.items() if name in known})


@dataclass(frozen=True, slots=True)
class Network(Record):
    """A network; what belongs to a version is its newest version's."""

    name: str
    version: int
    spec: dict[str, Any]
    aliases: dict[str, int]
    backend: str = "numpy"
    stateful: bool = False
    trainable: bool = False
    parameters: int = 0
    weights: str = ""
    created_at: str = ""
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class NetworkVersion(Record):
    """One immutable version. `source`: created, upload or snapshot; `parent`: what it came from."""

    network: str
    version: int
    spec: dict[str, Any]
    aliases: list[str]
    source: str = ""
    parent: int | None = None
    backend: str = "numpy"
    stateful: bool = False
    trainable: bool = False
    parameters: int = 0
    weights: str = ""
    created_at: str = ""
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class SessionInfo(Record):
    """A session; `state`: open, attached, detached or ended."""

    id: str
    network: str
    version: int
    state: str
    config: dict[str, Any]
    stateful: bool = False
    worker: str | None = None
    epoch: int = 0
    created_at: str = ""
    created_by: str = ""
    ended_at: str | None = None
    ended_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Worker(Record):
    """A living worker as it announced itself."""

    name: str
    pool: str
    state: str
    sessions: int
    capacity: int
    networks: list[str]
    host: str = ""
    pid: int = 0
    endpoint: str | None = None
    started_at: str = ""


@dataclass(frozen=True, slots=True)
class Pool(Record):
    """A pool: `replicas` are desired; `ready` and `draining` are there."""

    name: str
    replicas: int
    ready: int = 0
    draining: int = 0
    sessions: int = 0
    capacity: int = 0
    updated_at: str = ""


@dataclass(frozen=True, slots=True)
class ApiKey(Record):
    """An API key; `key` is its text, which only the answer to its creation holds."""

    id: str
    name: str
    role: str
    tenant: str
    key: str = ""
    created_at: str = ""
    created_by: str = ""
