from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import pytest

from foundation import errors
from protos.dc.v1 import stream_pb2
from rest_api.commands.delivery import _refusal
from rest_api.problems import HIDDEN, STATUS, field_path, invalid, problem, status_of


def tree(root: type[errors.DirectContactError]) -> set[type[errors.DirectContactError]]:
    return {root}.union(*(tree(child) for child in root.__subclasses__()))


def body(response: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(bytes(response.body))
    return content


def test_every_error_class_has_a_status() -> None:
    ours = {
        one
        for one in tree(errors.DirectContactError)
        if one.__module__.partition(".")[0] in {"foundation", "rest_api", "registry", "broker"}
    }
    assert ours <= set(STATUS)


def test_status_is_the_parents_when_a_subclass_has_none() -> None:
    class Special(errors.NotFound):
        pass

    assert status_of(Special("x")) is HTTPStatus.NOT_FOUND


def test_callers_errors_are_4xx_and_others_5xx() -> None:
    for error_class, status in STATUS.items():
        assert (400 <= status < 500) == issubclass(error_class, errors.CallerError)


def test_problem_names_field_and_code() -> None:
    response = problem(
        errors.InvalidInput("units must be at least 1, got 0", field="layers.0.units", code="low")
    )
    assert response.status_code == 422
    assert response.media_type == "application/problem+json"
    assert body(response) == {
        "type": "urn:direct-contact:problem:low",
        "title": HTTPStatus.UNPROCESSABLE_ENTITY.phrase,
        "status": 422,
        "detail": "units must be at least 1, got 0",
        "code": "low",
        "errors": [{"field": "layers.0.units", "message": "units must be at least 1, got 0"}],
    }


@pytest.mark.parametrize("error_class", sorted(HIDDEN, key=lambda one: one.__name__))
def test_text_is_hidden_when_it_is_ours(error_class: type[errors.DirectContactError]) -> None:
    response = problem(error_class("redis://secret-host:6379 refused"))
    assert "secret-host" not in bytes(response.body).decode()


def test_headers_tell_when_to_try_again() -> None:
    assert problem(errors.Unavailable("x")).headers["retry-after"] == "1"
    assert problem(errors.LimitExceeded("x", retry_after_s=2.1)).headers["retry-after"] == "3"
    assert problem(errors.Unauthenticated("x")).headers["www-authenticate"] == "Bearer"


def test_validation_does_not_repeat_the_input() -> None:
    response = invalid(
        [{"loc": ("body", "layers", 0, "units"), "msg": "too small", "input": "sesame"}]
    )
    assert body(response)["errors"] == [{"field": "layers.0.units", "message": "too small"}]
    assert "sesame" not in bytes(response.body).decode()


@pytest.mark.parametrize(
    ("loc", "path"),
    [
        (("body", "layers", 0, "units"), "layers.0.units"),
        (("query", "limit"), "limit"),
        (("layers", 2), "layers.2"),
        ((), ""),
    ],
)
def test_field_path_is_as_the_caller_wrote_it(loc: tuple[str | int, ...], path: str) -> None:
    assert field_path(loc) == path


@pytest.mark.parametrize(
    ("code", "retryable", "error_class", "status"),
    [
        ("invalid_input", False, errors.InvalidInput, 422),
        ("not_found", False, errors.NotFound, 404),
        ("internal_error", True, errors.InternalError, 500),
        ("not_trained", False, errors.Conflict, 409),
        ("busy", True, errors.Unavailable, 503),
        ("not_held", True, errors.Unavailable, 503),
    ],
)
def test_workers_error_becomes_ours(
    code: str, retryable: bool, error_class: type[errors.DirectContactError], status: int
) -> None:
    error = _refusal(stream_pb2.Error(code=code, message="why", retryable=retryable))
    assert isinstance(error, error_class)
    assert error.code == code
    assert status_of(error) == status
