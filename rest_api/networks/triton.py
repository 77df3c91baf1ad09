"""Networks that a Triton server computes: what the server tells of the model is the spec."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError

from foundation.errors import CallerError, Forbidden, InvalidInput, NotFound, Unavailable
from registry.networks.spec import NAME_PATTERN
from registry.networks.triton.spec import Model, ModelVersion, TritonSpec, Url
from registry.records import Role, VersionDraft
from registry.records.networks import Network
from rest_api.edge.authentication import Principal
from rest_api.networks.service import NetworkService
from rest_api.shapes import Body

if TYPE_CHECKING:
    from registry.networks.triton.server import TritonServer

BACKEND: Final = "triton"
HTTP_HINT: Final = "; is it the gRPC port (8001 by default), not the HTTP one?"


class TritonNetworkIn(Body):
    """A model of a Triton server to create a network from.

    `url` is Triton's gRPC endpoint, such as `grpc://127.0.0.1:8001`; `version` empty: the newest
    that is served now.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    backend: Literal["triton"]
    url: Url
    model: Model
    version: ModelVersion = ""


class TritonService:
    """Networks of models that Triton servers compute.

    Args:
        service: writes networks down.
        allowed: patterns of `host:port` that a network may name, with * for any text.
        timeout_s: how long a server may take to tell of a model.
    """

    def __init__(
        self, service: NetworkService, *, allowed: Sequence[str], timeout_s: float
    ) -> None:
        self._service = service
        self._allowed = allowed
        self._timeout_s = timeout_s

    async def create(self, who: Principal, body: Mapping[str, Any]) -> Network:
        """Create a network whose first version, `live`, is a model as it is served now.

        Raises:
            RequestValidationError: a field is wrong; names each.
            Forbidden: the role is too low, or the server is not among the allowed ones.
            InvalidInput: the server or the model can't be used, with the reason.
            Conflict: the name is taken.
        """
        if not who.role.covers(Role.OPERATOR):
            # The workers connect to the address: who names it reaches what they reach.
            raise Forbidden(
                f"backend: a Triton network needs the role {Role.OPERATOR.value}; the key has "
                f"{who.role.value}",
                code="role_too_low",
                field="backend",
            )
        try:
            asked = TritonNetworkIn.model_validate(body)
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False)) from error
        address = asked.url.partition("://")[2]
        if not any(fnmatchcase(address, pattern) for pattern in self._allowed):
            raise Forbidden(
                f"url: {address} is not among the servers that networks may name "
                "(DC_REST_TRITON_SERVERS)",
                code="server_not_allowed",
                field="url",
            )
        spec = await self._inspect(asked)
        draft = VersionDraft(
            backend=BACKEND,
            spec=spec.model_dump(mode="json"),
            weights="",
            stateful=spec.stateful,
            trainable=False,
            parameters=0,
            source="created",
            created_by=who.key,
        )
        return await self._service.record(who, asked.name, draft)

    async def _inspect(self, asked: TritonNetworkIn) -> TritonSpec:
        server = _connect(asked.url)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await _ask(server, asked)
        except TimeoutError:
            raise InvalidInput(
                f"url: {asked.url} did not tell of the model within {self._timeout_s:g} s "
                "(DC_REST_TRITON_TIMEOUT_S)",
                code="triton_timeout",
                field="url",
            ) from None
        except NotFound as error:
            named = f"{asked.model!r}" + (f" version {asked.version}" if asked.version else "")
            raise InvalidInput(
                f"model: {named} is not served there: {error.message}",
                code="unknown_model",
                field="model",
            ) from error
        except Unavailable as error:
            raise InvalidInput(
                f"url: {error.message}{HTTP_HINT}", code="triton_unreachable", field="url"
            ) from error
        except CallerError as error:
            if error.code == "not_triton":
                raise InvalidInput(f"url: {error.message}", code=error.code, field="url") from error
            raise
        finally:
            await server.close()


async def _ask(server: TritonServer, asked: TritonNetworkIn) -> TritonSpec:
    from registry.networks.triton.inspection import spec_of

    metadata = await server.metadata(asked.model, asked.version)
    config = await server.config(asked.model, asked.version)
    spec = spec_of(metadata, config, name=asked.name, url=asked.url, version=asked.version)
    if not await server.ready(spec.model, spec.version):
        raise InvalidInput(
            f"model: {spec.model!r} version {spec.version} is not ready on {asked.url}",
            code="model_not_ready",
            field="model",
        )
    return spec


def _connect(url: str) -> TritonServer:
    try:
        from registry.networks.triton.server import TritonServer
    except ImportError as error:
        raise CallerError(
            f"this server can't talk to Triton: {error}: pip install 'direct-contact[triton]'",
            code="backend_unavailable",
            field="backend",
        ) from error
    return TritonServer(url)
