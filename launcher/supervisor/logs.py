"""Lines of the processes, made alike: when, who, what."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

from launcher.supervisor.options import Role

LAUNCHER = "launcher"

_LEVELS = {"D": "DEBUG", "I": "INFO", "W": "WARNING", "E": "ERROR", "C": "CRITICAL"}
_RANKS = {"D": 10, "I": 20, "W": 30, "E": 40, "C": 50}

# foundation.telemetry.logs, nats-server without times, redis-server.
_SERVICE = re.compile(r"\d\d:\d\d:\d\d\.\d{3} ([DIWEC]) \S+: (.*)")
_NATS = re.compile(r"\[\d+\] \[([A-Z]{3})\] (.*)")
_REDIS = re.compile(r"\d+:[A-Z] .{19,26}? ([.\-*#]) (.*)")
_NATS_LEVELS = {"DBG": "D", "TRC": "D", "INF": "D", "WRN": "W", "ERR": "E", "FTL": "E"}
_REDIS_LEVELS = {".": "D", "-": "D", "*": "D", "#": "D"}

_COLOURS = {
    Role.NATS: "35",
    Role.REDIS: "31",
    Role.REST_API: "34",
    Role.GATEWAY: "36",
    Role.WORKER: "32",
    LAUNCHER: "1",
}
_LEVEL_COLOURS = {"W": "33", "E": "31", "C": "31"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of one process."""

    source: str
    """The role, or `LAUNCHER`."""
    label: str
    level: str
    """D, I, W, E or C."""
    text: str
    """Without time, level and name, when those could be told apart."""
    raw: str


Output = Callable[[Line], None]
"""Takes every line, on the event loop; must not block long."""


def read(role: Role, label: str, raw: str) -> Line:
    """Tell the level and the text of a line that a process wrote.

    The chatter of NATS and Redis counts as DEBUG: their starts fill a screen.
    """
    level, text = "I", raw
    match role:
        case Role.NATS:
            level = "D"
            if found := _NATS.match(raw):
                level, text = _NATS_LEVELS.get(found[1], "I"), found[2]
        case Role.REDIS:
            level = "D"
            if found := _REDIS.match(raw):
                level, text = _REDIS_LEVELS[found[1]], found[2]
        case _:
            if found := _SERVICE.match(raw):
                level, text = found[1], found[2]
    return Line(role, label, level, text, raw)


def note(text: str, *, level: str = "I") -> Line:
    """A line of the launcher itself."""
    return Line(LAUNCHER, LAUNCHER, level, text, text)


class Console:
    """Writes lines for people, or JSON objects for machines.

    Args:
        stream: where to; colours only when it is a terminal and NO_COLOR is not set.
        log_format: ``text`` or ``json``.
        level: the lowest level that is shown, by name.
    """

    def __init__(
        self, stream: TextIO | None = None, *, log_format: str = "text", level: str = "INFO"
    ) -> None:
        self._stream = stream or sys.stderr
        self._json = log_format == "json"
        self._lowest = _RANKS[level[0]]
        self._colours = self._stream.isatty() and "NO_COLOR" not in os.environ
        self._width = len("ann-worker-1")

    def __call__(self, line: Line) -> None:
        """Write the line, unless its level is too low."""
        if _RANKS[line.level] < self._lowest:
            return
        self._stream.write((self._as_json(line) if self._json else self._as_text(line)) + "\n")
        self._stream.flush()

    def _as_text(self, line: Line) -> str:
        self._width = max(self._width, len(line.label))
        time = datetime.now(UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
        label = self._colour(line.label.ljust(self._width), _COLOURS[line.source])
        text = line.text
        if line.level in _LEVEL_COLOURS:
            text = self._colour(f"{_LEVELS[line.level]} {text}", _LEVEL_COLOURS[line.level])
        return f"{time} {label} | {text}"

    def _as_json(self, line: Line) -> str:
        if line.raw.startswith("{"):  # A service that writes JSON by itself.
            return line.raw
        return json.dumps(
            {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "level": _LEVELS[line.level],
                "service": line.source,
                "name": line.label,
                "message": line.text,
            }
        )

    def _colour(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours else text
