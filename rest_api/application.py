"""The FastAPI application over the services of one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from foundation.errors import DirectContactError
from rest_api import probes
from rest_api.access import State
from rest_api.commands import endpoints as commands
from rest_api.edge import Authentication, BodyLimit, Observation
from rest_api.edge.bodies import FORM_OVERHEAD_BYTES
from rest_api.keys import endpoints as keys
from rest_api.networks import endpoints as networks
from rest_api.openapi import describe
from rest_api.pools import endpoints as pools
from rest_api.problems import on_error, on_http, on_invalid
from rest_api.services import Services
from rest_api.sessions import endpoints as sessions
from rest_api.workers import endpoints as workers

DESCRIPTION = """\
Live neural-network sessions. Create a network, open a session, then open its stream: a WebSocket
at `stream.url` with the subprotocols `dc.v1` and `dc.ticket.<ticket>`.

Every call under `/v1` needs an API key as `Authorization: Bearer dck_…`. Errors are problem details
(RFC 9457). `Idempotency-Key` makes creating calls safe to repeat. Lists are paged by `next_cursor`.
"""


def create_app(services: Services) -> FastAPI:
    """The application; the services stay the caller's to close."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        yield {"services": services}

    app = FastAPI(
        title="Direct Contact",
        version=_version(),
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
    )
    for feature in (networks, sessions, commands, workers, pools, keys, probes):
        app.include_router(feature.router)
    app.add_exception_handler(DirectContactError, on_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    # The last one added is the outermost.
    settings = services.settings
    app.add_middleware(
        BodyLimit,
        max_bytes=settings.rest_max_body_bytes,
        max_form_bytes=settings.rest_max_model_bytes + FORM_OVERHEAD_BYTES,
    )
    app.add_middleware(Authentication, keys=services.key_ring)
    app.add_middleware(Observation, metrics=services.metrics)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def _version() -> str:
    try:
        return version("direct-contact")
    except PackageNotFoundError:
        return "0"
