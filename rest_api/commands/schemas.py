"""Commands as JSON."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator

from protos.dc.v1 import stream_pb2
from rest_api.shapes import Body

MAX_ARGUMENTS_BYTES = 65_536


class CommandType(StrEnum):
    """What a session can be told."""

    PAUSE = "pause"
    RESUME = "resume"
    RESET = "reset"
    TRAIN = "train"
    INFER = "infer"
    SNAPSHOT = "snapshot"
    RESTORE = "restore"
    MIGRATE = "migrate"
    CLOSE = "close"

    @property
    def kind(self) -> stream_pb2.CommandKind.ValueType:
        """The same on the wire."""
        return stream_pb2.CommandKind.Value(f"COMMAND_KIND_{self.name}")


class CommandIn(Body):
    """A command. `after_seq` 0: as soon as possible.

    `command_id` is the caller's choice: repeating it in the session repeats the answer, not the
    effect. Arguments: snapshot {promote?}, restore {version}, migrate {worker?}.
    """

    type: CommandType
    arguments: Annotated[dict[str, Any], Field(default_factory=dict, max_length=32)]
    after_seq: Annotated[int, Field(ge=0, lt=1 << 63, strict=True)] = 0
    command_id: Annotated[str | None, Field(pattern=r"^[\x21-\x7e]{1,128}$")] = None

    @field_validator("arguments")
    @classmethod
    def _small_enough(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        # They travel in one message of the broker.
        if (size := len(json.dumps(arguments))) > MAX_ARGUMENTS_BYTES:
            raise ValueError(f"{size} bytes as JSON, the limit is {MAX_ARGUMENTS_BYTES}")
        return arguments


class CommandOut(BaseModel):
    """What came of a command: after which input it took effect, and its result."""

    command_id: str
    type: CommandType
    after_seq: int
    result: dict[str, Any]
