"""Shapes that several features share: pages, times, references to versions."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from foundation.errors import InvalidInput
from registry.networks.spec import NAME_PATTERN
from registry.records.pages import MAX_PAGE

ALIAS_PATTERN = r"^[a-z][a-z0-9_-]{0,62}$"
VERSION_PATTERN = r"^([1-9][0-9]{0,8}|[a-z][a-z0-9_-]{0,62})$"
MAX_VERSION = 999_999_999

ItemT = TypeVar("ItemT")
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Most items of this page")]
Cursor = Annotated[
    str | None, Query(max_length=512, description="`next_cursor` of the page before")
]
NetworkName = Annotated[str, Path(pattern=NAME_PATTERN, description="The network's name")]


def parse_reference(value: object) -> int | str:
    """A version's number, or an alias.

    One validator for both: errors of a union would add its parts to the path of the field.

    Raises:
        PydanticCustomError: it is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_VERSION:
        return value
    if isinstance(value, str) and re.fullmatch(VERSION_PATTERN, value, re.ASCII):
        return int(value) if value.isdigit() else value
    raise PydanticCustomError(
        "version_reference", "Input should be a version's number from 1 on, or an alias"
    )


VersionReference = Annotated[
    int | str,
    PlainValidator(parse_reference),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MAX_VERSION},
                {"type": "string", "pattern": VERSION_PATTERN},
            ]
        }
    ),
]
VersionPath = Annotated[
    VersionReference, Path(description="A number, an alias such as `live`, or `latest`")
]
Replicas = Annotated[int, Field(ge=0, le=1000, strict=True)]


class Body(BaseModel):
    """The parent of every request body: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


class PageOf(BaseModel, Generic[ItemT]):
    """Some items of a list; `next_cursor` null: there are no more."""

    items: list[ItemT]
    next_cursor: str | None


def timestamp(ms: int) -> datetime:
    """A record's time for people: UTC, to the millisecond."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def require_own_alias(alias: str) -> None:
    """Refuse the alias that is computed.

    Raises:
        InvalidInput: it is `latest`.
    """
    if alias == "latest":
        raise InvalidInput(
            "alias latest always means the newest version; choose another", field="alias"
        )
