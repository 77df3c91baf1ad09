"""The outermost layer: counts and times every request, and answers for unexpected errors."""

from __future__ import annotations

import logging

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundation.clock import monotonic
from rest_api.problems import unexpected

log = logging.getLogger(__name__)

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one REST API process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.requests = Counter(
            "dc_rest_requests",
            "Requests answered",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "dc_rest_request_seconds",
            "Seconds from a request's first byte to its answer's last",
            ["method", "route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.key_lookups = Counter(
            "dc_rest_key_lookups",
            "API keys looked up, by where they were found",
            ["source"],
            registry=self.registry,
        )
        self.weights_deleted = Counter(
            "dc_rest_weights_deleted",
            "Weights deleted because no version named them",
            registry=self.registry,
        )


METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Observation:
    """ASGI middleware: metrics by route template, and a problem for what nobody caught."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = monotonic()
        try:
            await self._app(scope, receive, watched)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if status:
                # Half an answer is out: only cutting the connection tells the client.
                raise
            await unexpected()(scope, receive, watched)
        finally:
            # Templates and known methods only: a label for each path would grow without bound.
            route = getattr(scope.get("route"), "path", "") or "unmatched"
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.seconds.labels(method, route).observe(monotonic() - started)
