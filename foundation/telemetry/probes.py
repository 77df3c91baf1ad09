"""The probe port: /healthz, /readyz and /metrics from a thread of its own.

A thread, so that /healthz can tell that the event loop hangs, instead of hanging with it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HANG_S = 10.0
"""An event loop that did not tick for this long is reported as hung. The longest pause seen in
normal work is the load of a large network, about 2 s."""


@dataclass(slots=True)
class Health:
    """What this process says of itself. Written by the event loop, read by the probe thread."""

    checks: dict[str, Callable[[], str | None]] = field(default_factory=dict)
    """Readiness by name: a callable that answers None when ready, or what is missing."""
    ticked_at: float = field(default_factory=time.monotonic)

    def tick(self) -> None:
        """The event loop is alive; call it at least every second."""
        self.ticked_at = time.monotonic()

    def hung(self) -> bool:
        """True when the event loop has not ticked for `HANG_S`."""
        return time.monotonic() - self.ticked_at > HANG_S

    def missing(self) -> dict[str, str]:
        """What keeps this process from being ready, by check; empty: ready."""
        answers = {name: check() for name, check in self.checks.items()}
        return {name: answer for name, answer in answers.items() if answer is not None}


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the parent's name
        """Probes come every second; a line each would drown the log."""


class ProbeServer:
    """Serves the probes of one process on `host:port` until closed.

    Raises:
        OSError: the port is in use.
    """

    def __init__(
        self, health: Health, *, host: str, port: int, registry: CollectorRegistry = REGISTRY
    ) -> None:
        self._health = health
        self._registry = registry
        self._server = make_server(
            host, port, self._answer, server_class=_Server, handler_class=_SilentHandler
        )
        self.port: int = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.2},
            name="probes",
            daemon=True,
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, request: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        match request.get("PATH_INFO"):
            case "/healthz":
                hung = self._health.hung()
                return _json(start, not hung, {"status": "hung" if hung else "ok"})
            case "/readyz":
                missing = self._health.missing()
                status = "unready" if missing else "ready"
                return _json(start, not missing, {"status": status, "missing": missing})
            case "/metrics":
                start("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
                return [generate_latest(self._registry)]
            case _:
                start("404 Not Found", [("Content-Type", "text/plain")])
                return [b"/healthz, /readyz and /metrics are here\n"]


def _json(start: StartResponse, ok: bool, body: dict[str, object]) -> Iterable[bytes]:
    start("200 OK" if ok else "503 Service Unavailable", [("Content-Type", "application/json")])
    return [json.dumps(body).encode() + b"\n"]
