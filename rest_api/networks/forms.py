"""The two bodies that create a network: a JSON object, or a form with a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from foundation.errors import InvalidInput
from registry.networks.onnx.spec import StateRequest
from registry.networks.spec import NAME_PATTERN
from rest_api.problems import TooLarge
from rest_api.shapes import Body

FORM: Final = "multipart/form-data"
MAX_FIELDS: Final = 8
FIELD_BYTES: Final = 64 << 10


def _from_json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise PydanticCustomError("json", "not JSON: {error}", {"error": str(error)}) from None


class OnnxForm(Body):
    """An ONNX file to create a network from, without the file itself.

    `state` names the tensors that a session carries from output to input. `batch` off: inputs of
    several sessions are never computed together.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    state: Annotated[tuple[StateRequest, ...], BeforeValidator(_from_json)] = ()
    batch: Literal["auto", "off"] = "auto"


@dataclass(frozen=True, slots=True)
class OnnxUpload:
    """The form and its file."""

    form: OnnxForm
    data: bytes


FORM_SCHEMA: Final = {
    "schema": {
        "type": "object",
        "required": ["name", "file"],
        "properties": {
            "name": {"type": "string", "pattern": NAME_PATTERN},
            "file": {"type": "string", "format": "binary", "description": "An ONNX model"},
            "state": {
                "type": "string",
                "contentMediaType": "application/json",
                "description": 'The tensors that a session carries: [{"input": "state", "output": '
                '"stateN", "initial": "zeros"}]; `shape` where the file leaves axes open',
            },
            "batch": {"type": "string", "enum": ["auto", "off"]},
        },
    }
}
_OBJECT: Final = TypeAdapter(dict[str, Any])


async def read_creation(request: Request, *, max_model_bytes: int) -> dict[str, Any] | OnnxUpload:
    """The body of a creating call.

    Raises:
        RequestValidationError: a field is wrong; names each.
        TooLarge: the file is larger than `max_model_bytes`.
        InvalidInput: the form does not parse, or has no file.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == FORM:
        return await _read_form(request, max_model_bytes)
    try:
        body = await request.json()
    except (ValueError, RecursionError) as error:
        raise _wrong("json_invalid", f"JSON decode error: {error}", ("body",)) from error
    try:
        return _OBJECT.validate_python(body)
    except ValidationError as error:
        raise RequestValidationError(
            [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        ) from error


async def _read_form(request: Request, max_model_bytes: int) -> OnnxUpload:
    try:
        form = await request.form(max_files=1, max_fields=MAX_FIELDS, max_part_size=FIELD_BYTES)
    except HTTPException as error:
        if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise
        raise InvalidInput(f"body: {error.detail}", code="bad_form") from error
    try:
        fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidInput("file: the form has no ONNX file", code="missing", field="file")
        if file.size is not None and file.size > max_model_bytes:
            raise TooLarge(
                f"file: {file.size} bytes, the limit is {max_model_bytes} "
                "(DC_REST_MAX_MODEL_BYTES)",
                code="model_too_large",
                field="file",
            )
        try:
            read = OnnxForm.model_validate(fields)
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False)) from error
        return OnnxUpload(read, await file.read())
    finally:
        await form.close()


def _wrong(kind: str, message: str, loc: tuple[str, ...]) -> RequestValidationError:
    return RequestValidationError([{"type": kind, "loc": loc, "msg": message, "input": {}}])
