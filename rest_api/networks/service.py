"""What can be done with networks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from foundation.errors import Conflict, DirectContactError, InternalError, NotFound
from registry.networks.manifest import Manifest
from registry.networks.spec import NetworkSpec, parse_spec
from registry.networks.store import NetworkStore
from registry.records import NetworkRecords, Version, VersionDraft, VersionRecords
from registry.records.networks import Network
from registry.records.version_rows import LIVE
from rest_api.edge.authentication import Principal
from rest_api.networks.schemas import OtherNetworkIn
from rest_api.networks.weights import check_weights, initial_weights
from rest_api.sessions.liveness import Liveness

log = logging.getLogger(__name__)


class NetworkService:
    """Networks, their versions and weights."""

    def __init__(
        self,
        networks: NetworkRecords,
        versions: VersionRecords,
        store: NetworkStore,
        liveness: Liveness,
        *,
        max_parameters: int,
    ) -> None:
        self._networks = networks
        self._versions = versions
        self._store = store
        self._liveness = liveness
        self._max_parameters = max_parameters

    async def create(self, who: Principal, body: Mapping[str, Any]) -> Network:
        """Create a network with initial weights as its first version, which becomes `live`.

        Raises:
            RequestValidationError: the spec is wrong; names each field.
            Conflict: the name is taken.
        """
        if body.get("backend", "numpy") != "numpy":
            return await self._create_other(who, body)
        body = {name: value for name, value in body.items() if name != "backend"}
        try:
            spec = parse_spec(body, parameter_limit=self._max_parameters)
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False)) from error
        weights = await asyncio.to_thread(initial_weights, spec)
        draft = VersionDraft(
            backend="numpy",
            spec=spec.model_dump(mode="json"),
            weights=await self._store.put_weights(weights),
            stateful=spec.stateful,
            trainable=spec.trainable,
            parameters=spec.parameter_count,
            source="created",
            created_by=who.key,
        )
        return await self.record(who, spec.name, draft)

    async def _create_other(self, who: Principal, body: Mapping[str, Any]) -> Network:
        """Create a network for a backend of the workers that only they know."""
        try:
            asked = OtherNetworkIn.model_validate(body)
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False)) from error
        draft = VersionDraft(
            backend=asked.backend,
            spec=asked.spec,
            weights="",
            stateful=asked.stateful,
            trainable=False,
            parameters=0,
            source="created",
            created_by=who.key,
        )
        return await self.record(who, asked.name, draft)

    async def record(self, who: Principal, name: str, draft: VersionDraft) -> Network:
        """Write a new network down; its first version becomes `live`.

        Raises:
            Conflict: the name is taken.
        """
        async with self._networks.creating(who.tenant, name, draft, aliases=[LIVE]) as version:
            await self._store.put_manifest(manifest(version))
        return await self._networks.read(who.tenant, name)

    async def upload(
        self, who: Principal, parent: Version, weights: bytes, *, promote: bool
    ) -> Version:
        """Make a new version from an old one's spec and new weights (safetensors).

        With `promote`, the alias `live` follows.

        Raises:
            Conflict: the version's weights are no layer spec's.
            InvalidInput: the weights do not fit the spec.
        """
        if parent.backend != "numpy":
            raise Conflict(
                f"{parent.network} version {parent.version} is computed by the backend "
                f"{parent.backend!r}: its weights can't be uploaded",
                code="other_backend",
            )
        spec = _spec(parent)
        await asyncio.to_thread(check_weights, weights, spec)
        digest = await self._store.put_weights(weights)
        return await self.derive(who, parent, digest, source="upload", promote=promote)

    async def derive(
        self,
        who: Principal,
        parent: Version,
        weights: str,
        *,
        source: str,
        promote: bool,
        origin: str | None = None,
    ) -> Version:
        """Record a new version with other weights, which are in the store under that digest.

        Raises:
            NotFound: they are not, or not any more.
        """
        await self._store.renew_weights(weights)
        draft = VersionDraft(
            backend=parent.backend,
            spec=parent.spec,
            weights=weights,
            stateful=parent.stateful,
            trainable=parent.trainable,
            parameters=parent.parameters,
            source=source,
            created_by=who.key,
            origin=origin,
            parent=parent.version,
        )
        aliases: Sequence[str] = [LIVE] if promote else []
        adding = self._versions.adding(who.tenant, parent.network, draft, aliases=aliases)
        async with adding as version:
            await self._store.put_manifest(manifest(version))
        return await self._versions.read(who.tenant, parent.network, version.version)

    async def weights(
        self, who: Principal, network: str, reference: int | str
    ) -> tuple[str, bytes]:
        """The digest and the safetensors of a version's weights.

        Raises:
            NotFound: there is no such version.
        """
        version = await self._versions.read(who.tenant, network, reference)
        if not version.weights:
            raise NotFound(
                f"{network} version {version.version} has no weights of its own: its backend is "
                f"{version.backend!r}",
                code="no_weights",
            )
        return version.weights, await self._store.weights(version.weights)

    async def delete(self, who: Principal, network: str) -> None:
        """Delete a network with all of its versions.

        Raises:
            NotFound: there is no such network.
            Conflict: live sessions use it.
        """
        await self._liveness.settle(who.tenant, network)
        await self._forget(await self._networks.delete(who.tenant, network))

    async def delete_version(self, who: Principal, network: str, reference: int | str) -> None:
        """Delete one version.

        Raises:
            NotFound: there is no such version.
            Conflict: live sessions use it, an alias points at it, or it is the only one.
        """
        version = await self._versions.read(who.tenant, network, reference)
        await self._liveness.settle(who.tenant, network, version.version)
        deleted = await self._versions.delete(who.tenant, network, version.version)
        await self._forget([deleted])

    async def _forget(self, versions: Sequence[Version]) -> None:
        """Free what the store holds. What stays behind costs room only: no record names it."""
        for version in versions:
            try:
                await self._store.delete_version(version.tenant, version.network, version.version)
            except DirectContactError as error:
                log.warning(
                    "%s version %d stays in the store: %s",
                    version.network,
                    version.version,
                    error.message,
                )


def manifest(version: Version) -> Manifest:
    """What a worker needs to serve this version."""
    return Manifest(
        tenant=version.tenant,
        network=version.network,
        version=version.version,
        backend=version.backend,
        spec=version.spec,
        weights=version.weights,
        stateful=version.stateful,
        trainable=version.trainable,
    )


def _spec(version: Version) -> NetworkSpec:
    try:
        return parse_spec(version.spec, parameter_limit=None)
    except ValidationError as error:
        raise InternalError(
            f"the record of {version.network} version {version.version} does not parse: {error}"
        ) from error
