"""The client: networks, workers and keys by REST, and sessions over WebSocket."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import httpx

from direct_contact.client.attached import Mode, OnNotice, Route, SessionOptions
from direct_contact.client.records import (
    ApiKey,
    Network,
    NetworkVersion,
    Pool,
    SessionInfo,
    Worker,
)
from direct_contact.client.rest import RestConnection
from direct_contact.client.session import Session


class Client:
    """One API with one key. Use it with ``async with``::

        async with Client("http://127.0.0.1:8000", key) as client:
            async with client.session("digits") as session:
                scores = await session.infer(image)

    Every call raises what the API answered as an error of `foundation.errors`: NotFound, Conflict,
    InvalidInput with its `field`, Unavailable when it can't be reached, and so on.

    Args:
        rest_url: such as ``https://example.org``, without ``/v1``.
        api_key: begins with ``dck_``.
        tls: for ``https`` and ``wss``; None: the system's certificates.
        patience_s: how long calls are repeated while the API answers 503.
        timeout_s: of one call.
        options: how sessions are treated.
        transport: httpx's, for tests.
    """

    def __init__(
        self,
        rest_url: str,
        api_key: str,
        *,
        tls: ssl.SSLContext | None = None,
        patience_s: float = 10.0,
        timeout_s: float = 60.0,
        options: SessionOptions | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._rest = RestConnection(
            rest_url,
            api_key,
            patience_s=patience_s,
            timeout_s=timeout_s,
            tls=tls,
            transport=transport,
        )
        self._options = options or SessionOptions()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections to the API. Sessions are closed by themselves, before."""
        await self._rest.close()

    # ------------------------------------------------------------ sessions

    def session(
        self,
        network: str,
        version: int | str | None = None,
        mode: Mode = "infer",
        config: dict[str, Any] | None = None,
        *,
        route: Route | None = None,
        on_notice: OnNotice | None = None,
    ) -> Session:
        """A session, opened and closed by ``async with``.

        Args:
            network: its name.
            version: a number or an alias; None: `live`, or else the newest.
            mode: "train" learns from inputs with a target.
            config: `delivery`, `resume_ttl_s`, `pool`: see the API.
            route: "direct" streams straight to a worker, and through a gateway when it is gone;
                None: as `config` says, by default always through a gateway.
            on_notice: called on the event loop when something happens to the session.
        """
        return Session(
            self._rest,
            network,
            version=version,
            mode=mode,
            config=config,
            route=route,
            on_notice=on_notice,
            options=self._options,
        )

    async def sessions(self, network: str | None = None) -> list[SessionInfo]:
        """Every session of this tenant, newest first; of one network, if it is named."""
        query = {"network": network} if network else {}
        return [SessionInfo.of(one) async for one in self._rest.pages("sessions", query)]

    async def end_session(self, session: str) -> None:
        """End a session, whoever is attached to it."""
        await self._rest.call("DELETE", f"sessions/{session}")

    # ------------------------------------------------------------ networks

    async def create_network(self, spec: Mapping[str, Any]) -> Network:
        """Create a network from a layer spec; its version 1 has initial weights and is `live`.

        Raises:
            InvalidInput: with the `field` at fault, such as ``layers.0.units``.
            Conflict: there is one of that name.
        """
        return Network.of(
            await self._rest.json("POST", "networks", body=dict(spec), idempotent=False)
        )

    async def create_onnx_network(
        self,
        name: str,
        file: bytes | Path,
        state: Sequence[Mapping[str, Any]] = (),
        *,
        batch: Literal["auto", "off"] = "auto",
    ) -> Network:
        """Create a network from an ONNX file; it is version 1 and `live`.

        Args:
            name: of the network.
            file: the model, or where it lies.
            state: the tensors that a session carries from output to input, such as
                ``[{"input": "state", "output": "stateN", "initial": "zeros"}]``; with `shape`
                where the file leaves its axes open.
            batch: "off": inputs of several sessions are never computed together.

        Raises:
            InvalidInput: the file can't be served, with the reason.
            Conflict: there is one of that name.
        """
        data = file if isinstance(file, bytes) else await asyncio.to_thread(file.read_bytes)
        response = await self._rest.call(
            "POST",
            "networks",
            form={"name": name, "state": json.dumps([dict(one) for one in state]), "batch": batch},
            file=data,
            idempotent=False,
        )
        return Network.of(response.json())

    async def network(self, name: str) -> Network:
        """One network."""
        return Network.of(await self._rest.json("GET", f"networks/{name}"))

    async def networks(self) -> list[Network]:
        """Every network, by name."""
        return [Network.of(one) async for one in self._rest.pages("networks")]

    async def delete_network(self, name: str) -> None:
        """Delete a network with its versions.

        Raises:
            Conflict: live sessions use it.
        """
        await self._rest.call("DELETE", f"networks/{name}")

    async def versions(self, name: str) -> list[NetworkVersion]:
        """The versions of a network, newest first."""
        return [
            NetworkVersion.of(one) async for one in self._rest.pages(f"networks/{name}/versions")
        ]

    async def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias at a version."""
        await self._rest.call("PUT", f"networks/{name}/aliases/{alias}", body={"version": version})

    async def get_weights(self, name: str, version: int | str) -> bytes:
        """The weights of a version, as safetensors."""
        response = await self._rest.call("GET", f"networks/{name}/versions/{version}/weights")
        return response.content

    async def get_onnx(self, name: str, version: int | str) -> bytes:
        """A version as an ONNX file.

        The hidden state of a created network is named in it: the metadata `dc.state` of the file
        is what `create_onnx_network` takes as `state`.
        """
        response = await self._rest.call("GET", f"networks/{name}/versions/{version}/onnx")
        return response.content

    async def put_weights(
        self, name: str, version: int | str, weights: bytes, *, promote: bool = False
    ) -> NetworkVersion:
        """Make a new version with the spec of this one and other weights (safetensors).

        Args:
            name: of the network.
            version: whose spec it shares.
            weights: safetensors, named ``layers.{i}.weight`` and so on.
            promote: the alias `live` points to the new version from now on.
        """
        response = await self._rest.call(
            "PUT",
            f"networks/{name}/versions/{version}/weights",
            content=weights,
            query={"promote": "true"} if promote else None,
            idempotent=False,
        )
        return NetworkVersion.of(response.json())

    # ------------------------------------------------------------ workers, pools, keys

    async def workers(self, pool: str | None = None) -> list[Worker]:
        """The living workers, by name."""
        query = {"pool": pool} if pool else {}
        return [Worker.of(one) async for one in self._rest.pages("workers", query)]

    async def pools(self) -> list[Pool]:
        """Every pool, by name."""
        return [Pool.of(one) async for one in self._rest.pages("pools")]

    async def pool(self, name: str) -> Pool:
        """One pool."""
        return Pool.of(await self._rest.json("GET", f"pools/{name}"))

    async def scale(self, pool: str, replicas: int) -> Pool:
        """Set how many workers a pool should have; they come and go soon after."""
        return Pool.of(await self._rest.json("PATCH", f"pools/{pool}", body={"replicas": replicas}))

    async def create_key(self, name: str, role: str, *, tenant: str | None = None) -> ApiKey:
        """Make an API key; only this answer holds its text.

        Args:
            name: for people.
            role: admin, operator, user or viewer.
            tenant: for admins of the tenant `default`: whose key it is.
        """
        body = {"name": name, "role": role} | ({"tenant": tenant} if tenant else {})
        return ApiKey.of(await self._rest.json("POST", "keys", body=body, idempotent=False))

    async def keys(self) -> list[ApiKey]:
        """The API keys, without their texts."""
        return [ApiKey.of(one) async for one in self._rest.pages("keys")]

    async def delete_key(self, key: str) -> None:
        """Delete an API key by its id."""
        await self._rest.call("DELETE", f"keys/{key}")
