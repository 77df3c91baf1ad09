"""What the generator is asked to do: one JSON object on its standard input."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

MAX_SESSIONS = 20_000
MAX_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Door:
    """Where one session is had."""

    host: str
    port: int
    talk: Literal["plain", "stream", "raw", "json"] = "plain"
    """`plain`: one frame back for each; `stream`: the protocol `dc.v1`; `raw` and `json`: the
    payload as it is, one answer back for each."""
    wire: Literal["websocket", "nats", "http"] = "websocket"
    path: str = "/"
    """With `nats`: the subject."""
    subprotocols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A load.

    Raises:
        ValueError: a number is out of its bounds.
    """

    doors: tuple[Door, ...]
    """One for each session."""
    payload: bytes
    """Every input: a serialized `Payload`; with `raw` and `json`, a whole message."""
    expected: tuple[float, ...] = ()
    """The first values of the right answer to the first input; empty: nothing is checked."""
    outstanding: int = 1
    """Inputs that each session has under way."""
    bundle: bool = False
    """Inputs that are sent at the same time share a frame; otherwise each has its own."""
    rate: float = 0.0
    """Open loop: so many inputs a second over all sessions, however late the answers are."""
    warm_s: float = 1.0
    measure_s: float = 5.0
    cpus: tuple[int, ...] = field(default=())
    """The cores it may use; empty: any."""

    def __post_init__(self) -> None:
        bounds: dict[str, tuple[float, float, float]] = {
            "doors": (len(self.doors), 1, MAX_SESSIONS),
            "outstanding": (self.outstanding, 1, 1024),
            "rate": (self.rate, 0, 1e6),
            "warm_s": (self.warm_s, 0, MAX_SECONDS),
            "measure_s": (self.measure_s, 0.01, MAX_SECONDS),
        }
        for name, (value, least, most) in bounds.items():
            if not least <= value <= most:
                raise ValueError(f"{name} must be {least:g} to {most:g}, got {value:g}")

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "payload": self.payload.hex()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Plan:
        """From JSON."""
        doors = tuple(
            Door(**{**door, "subprotocols": tuple(door["subprotocols"])}) for door in data["doors"]
        )
        given = {**data, "doors": doors, "payload": bytes.fromhex(data["payload"])}
        given |= {"expected": tuple(data["expected"]), "cpus": tuple(data["cpus"])}
        return cls(**given)
