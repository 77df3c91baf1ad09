"""What can be done with ONNX networks beyond what can be done with all."""

from __future__ import annotations

import asyncio

from foundation.errors import CallerError, Conflict, InvalidInput
from registry.networks.onnx.spec import OnnxSpec, StateRequest
from registry.networks.spec import parse_spec
from registry.networks.store import NetworkStore
from registry.records import Version, VersionDraft
from registry.records.networks import Network
from rest_api.edge.authentication import Principal
from rest_api.networks.forms import OnnxForm
from rest_api.networks.inspecting import Inspector
from rest_api.networks.service import NetworkService
from rest_api.problems import TooLarge


class OnnxService:
    """Networks from ONNX files: the file is the weights, what inspecting it gave is the spec."""

    def __init__(
        self,
        store: NetworkStore,
        service: NetworkService,
        *,
        max_model_bytes: int,
    ) -> None:
        self._store = store
        self._service = service
        self._max_model_bytes = max_model_bytes
        self._inspector = Inspector()

    async def create(self, who: Principal, form: OnnxForm, data: bytes) -> Network:
        """Create a network whose first version, `live`, is this file.

        Raises:
            InvalidInput: the file can't be served, with the reason.
            Conflict: the name is taken.
        """
        found = await self._inspector.inspect(
            data, name=form.name, state=form.state, batch=form.batch == "auto"
        )
        draft = VersionDraft(
            backend="onnx",
            spec=found.spec,
            weights=await self._store.put_weights(data),
            stateful=found.stateful,
            trainable=False,
            parameters=found.parameters,
            source="created",
            created_by=who.key,
        )
        return await self._service.record(who, form.name, draft)

    async def export(self, version: Version) -> bytes:
        """A version as an ONNX file.

        Raises:
            Conflict: it is computed by a backend that only the workers know.
            CallerError: `backend_unavailable`: this server has no `onnx`.
        """
        if version.backend not in ("onnx", "numpy"):
            raise Conflict(
                f"{version.network} version {version.version} is computed by the backend "
                f"{version.backend!r}: it has no ONNX form",
                code="other_backend",
            )
        weights = await self._store.weights(version.weights)
        return (
            weights
            if version.backend == "onnx"
            else await asyncio.to_thread(_exported, version, weights)
        )

    async def upload(
        self, who: Principal, parent: Version, data: bytes, *, promote: bool
    ) -> Version:
        """Make a new version from a file with the same inputs, outputs and state.

        Raises:
            InvalidInput: the file can't be served, or its tensors are not the parent's.
            TooLarge: the file is larger than the limit.
        """
        if len(data) > self._max_model_bytes:
            raise TooLarge(
                f"file: {len(data)} bytes, the limit is {self._max_model_bytes} "
                "(DC_REST_MAX_MODEL_BYTES)",
                code="model_too_large",
            )
        old = OnnxSpec.model_validate(parent.spec)
        state = [
            StateRequest(input=one.input, output=one.output, shape=one.shape) for one in old.state
        ]
        found = await self._inspector.inspect(
            data, name=parent.network, state=state, batch=bool(old.batch_axes)
        )
        new = OnnxSpec.model_validate(found.spec)
        for what in ("inputs", "outputs", "state", "batch_axes"):
            if getattr(old, what) != getattr(new, what):
                raise InvalidInput(
                    f"file: its {what} are not those of version {parent.version}: create another "
                    "network for it",
                    code="signature",
                    field="file",
                )
        digest = await self._store.put_weights(data)
        return await self._service.derive(who, parent, digest, source="upload", promote=promote)


def _exported(version: Version, weights: bytes) -> bytes:
    try:
        from registry.networks.onnx.export import export_network
        from registry.networks.weights import decode_weights
    except ImportError as error:
        raise CallerError(
            f"this server can't write ONNX files: {error}", code="backend_unavailable"
        ) from error
    spec = parse_spec(version.spec, parameter_limit=None)
    return export_network(spec, decode_weights(weights, spec))
