"""Networks over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from rest_api.access import Api, User, Viewer
from rest_api.networks import triton
from rest_api.networks.forms import FORM, FORM_SCHEMA, OnnxUpload, read_creation
from rest_api.networks.schemas import AliasIn, AliasOut, NetworkOut, VersionOut
from rest_api.once import Answered, Creation
from rest_api.shapes import (
    ALIAS_PATTERN,
    Cursor,
    Limit,
    NetworkName,
    PageOf,
    VersionPath,
    require_own_alias,
)

router = APIRouter(prefix="/v1/networks", tags=["networks"])

BINARY = "application/octet-stream"
WEIGHTS_SCHEMA = {"schema": {"type": "string", "format": "binary"}}
AliasPath = Annotated[str, Path(pattern=ALIAS_PATTERN, description="The alias, such as `live`")]


@router.post(
    "",
    status_code=201,
    response_model=NetworkOut,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object"}}, FORM: FORM_SCHEMA},
        }
    },
)
async def create(api: Api, who: User, call: Creation, request: Request) -> Response:
    """Create a network from a layer spec (JSON), an ONNX file (a form), or a model of Triton.

    Its version 1 is `live`. From a spec it has initial weights. With `"backend": "triton"`, `url`,
    `model` and `version`, which needs the role operator, a Triton server computes it.
    """

    async def act() -> Answered:
        body = await read_creation(request, max_model_bytes=api.settings.rest_max_model_bytes)
        if isinstance(body, OnnxUpload):
            network = await api.onnx_networks.create(who, body.form, body.data)
        elif body.get("backend") == triton.BACKEND:
            network = await api.triton_networks.create(who, body)
        else:
            network = await api.networks.create(who, body)
        return NetworkOut.of(network), f"/v1/networks/{network.name}"

    return await call.answer(act)


@router.get("")
async def page(
    api: Api, who: Viewer, limit: Limit = 50, cursor: Cursor = None
) -> PageOf[NetworkOut]:
    """List networks by name."""
    found = await api.network_records.page(who.tenant, limit=limit, cursor=cursor)
    return PageOf(
        items=[NetworkOut.of(network) for network in found.items], next_cursor=found.next_cursor
    )


@router.get("/{name}")
async def read(api: Api, who: Viewer, name: NetworkName) -> NetworkOut:
    """Read one network."""
    return NetworkOut.of(await api.network_records.read(who.tenant, name))


@router.delete("/{name}", status_code=204)
async def delete(api: Api, who: User, name: NetworkName) -> None:
    """Delete a network with its versions. 409 names the live sessions that use it."""
    await api.networks.delete(who, name)


@router.get("/{name}/versions")
async def versions(
    api: Api, who: Viewer, name: NetworkName, limit: Limit = 50, cursor: Cursor = None
) -> PageOf[VersionOut]:
    """List the versions of a network, newest first."""
    found = await api.version_records.page(who.tenant, name, limit=limit, cursor=cursor)
    return PageOf(
        items=[VersionOut.of(version) for version in found.items], next_cursor=found.next_cursor
    )


@router.get("/{name}/versions/{version}")
async def read_version(
    api: Api, who: Viewer, name: NetworkName, version: VersionPath
) -> VersionOut:
    """Read one version, by number or alias."""
    return VersionOut.of(await api.version_records.read(who.tenant, name, version))


@router.delete("/{name}/versions/{version}", status_code=204)
async def delete_version(api: Api, who: User, name: NetworkName, version: VersionPath) -> None:
    """Delete one version. 409 names the live sessions or the aliases that use it."""
    await api.networks.delete_version(who, name, version)


@router.get(
    "/{name}/versions/{version}/weights",
    response_class=Response,
    responses={
        200: {"description": "The weights as safetensors", "content": {BINARY: WEIGHTS_SCHEMA}}
    },
)
async def read_weights(api: Api, who: Viewer, name: NetworkName, version: VersionPath) -> Response:
    """Download the weights of a version as safetensors. The ETag is their sha256."""
    digest, weights = await api.networks.weights(who, name, version)
    return Response(weights, media_type=BINARY, headers={"ETag": f'"{digest}"'})


@router.get(
    "/{name}/versions/{version}/onnx",
    response_class=Response,
    responses={200: {"description": "An ONNX model", "content": {BINARY: WEIGHTS_SCHEMA}}},
)
async def read_onnx(api: Api, who: Viewer, name: NetworkName, version: VersionPath) -> Response:
    """Download a version as an ONNX file.

    A created network carries its hidden state as the tensors `hidden.0`, `hidden.0.next` and so
    on; the file's metadata `dc.state` is what `state` of a network made from it should be.
    """
    found = await api.version_records.read(who.tenant, name, version)
    data = await api.onnx_networks.export(found)
    return Response(data, media_type=BINARY)


@router.put(
    "/{name}/versions/{version}/weights",
    status_code=201,
    response_model=VersionOut,
    openapi_extra={"requestBody": {"required": True, "content": {BINARY: WEIGHTS_SCHEMA}}},
)
async def put_weights(
    api: Api,
    who: User,
    call: Creation,
    request: Request,
    name: NetworkName,
    version: VersionPath,
    promote: Annotated[bool, Query(description="Point `live` at the new version")] = False,
) -> Response:
    """Upload weights for the spec of a version; they become a new version.

    Safetensors, or for an ONNX network a file with the same inputs, outputs and state.
    """

    async def act() -> Answered:
        parent = await api.version_records.read(who.tenant, name, version)
        use = api.onnx_networks if parent.backend == "onnx" else api.networks
        made = await use.upload(who, parent, await request.body(), promote=promote)
        return VersionOut.of(made), f"/v1/networks/{name}/versions/{made.version}"

    return await call.answer(act)


@router.get("/{name}/aliases/{alias}")
async def read_alias(api: Api, who: Viewer, name: NetworkName, alias: AliasPath) -> AliasOut:
    """Tell which version an alias means now."""
    version = await api.version_records.read(who.tenant, name, alias)
    return AliasOut(alias=alias, version=version.version)


@router.put("/{name}/aliases/{alias}")
async def put_alias(
    api: Api, who: User, name: NetworkName, alias: AliasPath, body: AliasIn
) -> AliasOut:
    """Point an alias at a version, making it if need be."""
    require_own_alias(alias)
    version = await api.version_records.read(who.tenant, name, body.version)
    await api.version_records.put_alias(who.tenant, name, alias, version.version)
    return AliasOut(alias=alias, version=version.version)


@router.delete("/{name}/aliases/{alias}", status_code=204)
async def delete_alias(api: Api, who: User, name: NetworkName, alias: AliasPath) -> None:
    """Take an alias away; the version stays."""
    require_own_alias(alias)
    await api.version_records.delete_alias(who.tenant, name, alias)
