"""Errors as RFC 9457 problem details: the one table from error classes to HTTP statuses."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from foundation import errors

log = logging.getLogger(__name__)


class TooLarge(errors.LimitExceeded):
    """The request's body is larger than the limit."""

    default_code = "body_too_large"


class WorkerUnavailable(errors.Unavailable):
    """A worker does not answer; unlike other absences, its text is written for the client."""

    default_code = "worker_unavailable"


STATUS: Mapping[type[errors.DirectContactError], HTTPStatus] = {
    errors.DirectContactError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.CallerError: HTTPStatus.BAD_REQUEST,
    errors.InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.LimitExceeded: HTTPStatus.TOO_MANY_REQUESTS,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.ProtocolViolation: HTTPStatus.BAD_REQUEST,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    WorkerUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.InternalError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

HIDDEN: Mapping[type[errors.DirectContactError], str] = {
    errors.DirectContactError: "an unexpected error; it was logged",
    errors.InternalError: "an unexpected error; it was logged",
    errors.Unavailable: "something that this call needs does not answer now: try again",
}
"""Classes whose own text names our insides; clients read these instead."""


class FieldProblem(BaseModel):
    """What is wrong with one field of the request."""

    field: str
    message: str


class Problem(BaseModel):
    """Problem details (RFC 9457). `code` is stable; `field` is a path such as `layers.0.units`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldProblem]


def status_of(error: errors.DirectContactError) -> HTTPStatus:
    """The status of an error: its class's, or the nearest parent's."""
    return next(STATUS[one] for one in type(error).__mro__ if one in STATUS)


def problem(error: errors.DirectContactError) -> Response:
    """The answer to a call that failed with an error of ours."""
    status = status_of(error)
    detail = HIDDEN.get(type(error), error.message)
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    elif status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    fields = [FieldProblem(field=error.field, message=detail)] if error.field else []
    return _response(status, error.code, detail, fields, headers)


def unexpected() -> Response:
    """The answer to a call that failed by a fault of ours."""
    return problem(errors.InternalError("unexpected"))


async def on_error(_request: Request, error: Exception) -> Response:
    """FastAPI's handler for our own errors."""
    assert isinstance(error, errors.DirectContactError)  # noqa: S101  # registered for no other
    if status_of(error) >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("%s: %s", error.code, error.message)
    return problem(error)


async def on_invalid(_request: Request, error: Exception) -> Response:
    """FastAPI's handler for requests that do not fit their schema."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for no other
    return invalid(error.errors())


async def on_http(_request: Request, error: Exception) -> Response:
    """FastAPI's handler for what the router itself refuses: unknown paths and methods."""
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for no other
    status = HTTPStatus(error.status_code)
    code = status.name.lower()
    return _response(status, code, status.phrase, [], dict(error.headers or {}))


def invalid(problems: Sequence[Mapping[str, Any]]) -> Response:
    """The answer to validation errors of pydantic."""
    fields = [
        FieldProblem(field=field_path(one["loc"]), message=one["msg"]) for one in problems[:100]
    ]
    detail = "; ".join(
        f"{one.field}: {one.message}" if one.field else one.message for one in fields[:3]
    )
    return _response(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_input", detail, fields, {})


def field_path(loc: Iterable[str | int]) -> str:
    """The path of a field as the caller wrote it: without the part of the request it is in."""
    parts = [str(part) for part in loc]
    if parts and parts[0] in {"body", "query", "path", "header"}:
        parts = parts[1:]
    return ".".join(parts)


def _response(
    status: HTTPStatus,
    code: str,
    detail: str,
    fields: list[FieldProblem],
    headers: dict[str, str],
) -> Response:
    body = Problem(
        type=f"urn:direct-contact:problem:{code}",
        title=status.phrase,
        status=status,
        detail=detail,
        code=code,
        errors=fields,
    )
    return Response(body.model_dump_json(), status, headers, media_type="application/problem+json")
