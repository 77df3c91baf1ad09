"""/healthz, /readyz and /metrics, for orchestrators and Prometheus: without a key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError
from starlette.responses import JSONResponse, Response

from foundation.errors import DirectContactError
from rest_api.access import Api
from rest_api.services import Connections

router = APIRouter(tags=["probes"])

CHECK_TIMEOUT_S = 2.0


@router.get("/healthz")
async def healthz() -> JSONResponse:
    """Tell that the process answers."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz")
async def readyz(api: Api) -> JSONResponse:
    """Tell whether calls can succeed: 503 names what does not answer."""
    missing = await unready(api.connections)
    status = "unready" if missing else "ready"
    return JSONResponse({"status": status, "missing": missing}, 503 if missing else 200)


@router.get("/metrics")
async def metrics(api: Api) -> Response:
    """Metrics in Prometheus' text format."""
    return Response(generate_latest(api.metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def unready(connections: Connections) -> dict[str, str]:
    """What does not answer, by name; empty: everything does."""
    names = ("database", "redis", "nats")
    found = await asyncio.gather(
        _answers(connections.database.check()),
        _answers(connections.sessions.ping()),
        _answers(_connected(connections)),
    )
    return {name: reason for name, reason in zip(names, found, strict=True) if reason}


async def _answers(check: Awaitable[object]) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT_S:g} s"
    except (DirectContactError, RedisError, OSError):
        return "no connection"
    return ""


async def _connected(connections: Connections) -> None:
    if not connections.broker.connected:
        raise OSError
