"""Logs: one readable line, or one JSON object a line. Fields go in `extra`."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure_logging(*, service: str, name: str, log_format: str, level: str) -> None:
    """Send every log of this process to standard error.

    Args:
        service: the role, such as ``ann_worker``.
        name: this process among its kind, such as ``ann-worker-1``.
        log_format: ``text`` or ``json``.
        level: a level's name.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(service, name) if log_format == "json" else _Text(name))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # Their INFO lines tell of single requests; ours tell of connections.
    for noisy in ("httpx", "httpcore", "nats", "asyncio", "alembic", "sqlalchemy", "websockets"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {k: v for k, v in vars(record).items() if k not in _STANDARD}


class _Text(logging.Formatter):
    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        fields = "".join(f" {k}={v}" for k, v in _fields(record).items())
        line = f"{time} {record.levelname[0]} {self._name}: {record.getMessage()}{fields}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class _Json(logging.Formatter):
    def __init__(self, service: str, name: str) -> None:
        super().__init__()
        self._process = {"service": service, "name": name}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            **self._process,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
