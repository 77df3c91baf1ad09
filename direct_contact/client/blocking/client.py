"""`Client` called without ``await``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from direct_contact.client.attached import Mode, OnNotice, Route
from direct_contact.client.blocking.loop_thread import LoopThread
from direct_contact.client.blocking.session import BlockingSession
from direct_contact.client.client import Client
from direct_contact.client.records import (
    ApiKey,
    Network,
    NetworkVersion,
    Pool,
    SessionInfo,
    Worker,
)
from direct_contact.client.session import Session


async def _make(rest_url: str, api_key: str, options: dict[str, Any]) -> Client:
    return Client(rest_url, api_key, **options)


class BlockingClient:
    """`Client` without ``await``. Use it with ``with``, or call `close` at the end::

        with BlockingClient("http://127.0.0.1:8000", key) as client:
            with client.session("digits") as session:
                scores = session.infer(image)

    Args: see `Client`.
    """

    def __init__(self, rest_url: str, api_key: str, **options: Any) -> None:
        self._thread = LoopThread()
        self._sessions: list[BlockingSession] = []
        self._closed = False
        try:
            self._client = self._thread.wait(_make(rest_url, api_key, options))
        except BaseException:
            self._thread.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every session and the client; repeating does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            while self._sessions:
                self._sessions.pop().close()
            self._thread.wait(self._client.close())
        finally:
            self._thread.stop()

    def session(
        self,
        network: str,
        version: int | str | None = None,
        mode: Mode = "infer",
        config: dict[str, Any] | None = None,
        *,
        route: Route | None = None,
        on_notice: OnNotice | None = None,
    ) -> BlockingSession:
        """See `Client.session`. `on_notice` is called on the client's thread."""

        async def make() -> Session:
            return self._client.session(
                network, version, mode, config, route=route, on_notice=on_notice
            )

        session = BlockingSession(self._thread, self._thread.wait(make()))
        self._sessions.append(session)
        return session

    def sessions(self, network: str | None = None) -> list[SessionInfo]:
        """See `Client.sessions`."""
        return self._thread.wait(self._client.sessions(network))

    def end_session(self, session: str) -> None:
        """See `Client.end_session`."""
        self._thread.wait(self._client.end_session(session))

    def create_network(self, spec: Mapping[str, Any]) -> Network:
        """See `Client.create_network`."""
        return self._thread.wait(self._client.create_network(spec))

    def create_onnx_network(
        self,
        name: str,
        file: bytes | Path,
        state: Sequence[Mapping[str, Any]] = (),
        *,
        batch: Literal["auto", "off"] = "auto",
    ) -> Network:
        """See `Client.create_onnx_network`."""
        return self._thread.wait(self._client.create_onnx_network(name, file, state, batch=batch))

    def network(self, name: str) -> Network:
        """See `Client.network`."""
        return self._thread.wait(self._client.network(name))

    def networks(self) -> list[Network]:
        """See `Client.networks`."""
        return self._thread.wait(self._client.networks())

    def delete_network(self, name: str) -> None:
        """See `Client.delete_network`."""
        self._thread.wait(self._client.delete_network(name))

    def versions(self, name: str) -> list[NetworkVersion]:
        """See `Client.versions`."""
        return self._thread.wait(self._client.versions(name))

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """See `Client.set_alias`."""
        self._thread.wait(self._client.set_alias(name, alias, version))

    def get_weights(self, name: str, version: int | str) -> bytes:
        """See `Client.get_weights`."""
        return self._thread.wait(self._client.get_weights(name, version))

    def get_onnx(self, name: str, version: int | str) -> bytes:
        """See `Client.get_onnx`."""
        return self._thread.wait(self._client.get_onnx(name, version))

    def put_weights(
        self, name: str, version: int | str, weights: bytes, *, promote: bool = False
    ) -> NetworkVersion:
        """See `Client.put_weights`."""
        return self._thread.wait(self._client.put_weights(name, version, weights, promote=promote))

    def workers(self, pool: str | None = None) -> list[Worker]:
        """See `Client.workers`."""
        return self._thread.wait(self._client.workers(pool))

    def pools(self) -> list[Pool]:
        """See `Client.pools`."""
        return self._thread.wait(self._client.pools())

    def pool(self, name: str) -> Pool:
        """See `Client.pool`."""
        return self._thread.wait(self._client.pool(name))

    def scale(self, pool: str, replicas: int) -> Pool:
        """See `Client.scale`."""
        return self._thread.wait(self._client.scale(pool, replicas))

    def create_key(self, name: str, role: str, *, tenant: str | None = None) -> ApiKey:
        """See `Client.create_key`."""
        return self._thread.wait(self._client.create_key(name, role, tenant=tenant))

    def keys(self) -> list[ApiKey]:
        """See `Client.keys`."""
        return self._thread.wait(self._client.keys())

    def delete_key(self, key: str) -> None:
        """See `Client.delete_key`."""
        self._thread.wait(self._client.delete_key(key))
