"""The OpenAPI description: FastAPI's, with our problems and the layer spec put in."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from registry.networks.spec import NetworkSpec
from rest_api.networks.schemas import OtherNetworkIn
from rest_api.problems import Problem

REFERENCE = "#/components/schemas/{model}"
PROBLEM = {
    "application/problem+json": {"schema": {"$ref": REFERENCE.format(model="Problem")}},
}
CREATED: tuple[type[BaseModel], ...] = (NetworkSpec, OtherNetworkIn)
ADDED: tuple[type[BaseModel], ...] = (Problem, *CREATED)


def describe(app: FastAPI) -> dict[str, Any]:
    """The description of the application; made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            openapi_version=app.openapi_version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        schemas = document["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        _, added = models_json_schema(
            [(model, "validation") for model in ADDED], ref_template=REFERENCE
        )
        schemas.update(added["$defs"])
        # The endpoint takes any object, so that the spec's own errors keep the caller's paths.
        create = document["paths"]["/v1/networks"]["post"]["requestBody"]["content"]
        create["application/json"]["schema"] = {
            "anyOf": [{"$ref": REFERENCE.format(model=one.__name__)} for one in CREATED]
        }
        for path, operations in document["paths"].items():
            if path.startswith("/v1/"):
                for operation in operations.values():
                    responses = operation["responses"]
                    responses.pop("422", None)
                    responses["4XX"] = {"description": "The caller's fault", "content": PROBLEM}
                    responses["5XX"] = {"description": "Try again later", "content": PROBLEM}
        app.openapi_schema = document
    return app.openapi_schema
