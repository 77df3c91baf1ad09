"""A real Triton, and a launched stack whose workers send it their inputs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from direct_contact.client import Client
from direct_contact.client.session import Session
from tests.support.launched import LaunchedStack
from tests.support.triton import TritonServer, create

SessionOf = Callable[[str], AbstractAsyncContextManager[Session]]
"""Opens a session of a new network of that model."""

COMPUTE_TIMEOUT_S = 10.0
RETRY_S = 8.0
"""Far above the 0.6 s that a restart of Triton takes, for machines that do more beside it."""


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """One Triton for the whole run; a test that kills it starts it again."""
    server = TritonServer(tmp_path_factory.mktemp("triton"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaunchedStack]:
    """Two workers, which find a slow answer slow soon, and are patient while Triton is away."""
    with LaunchedStack(
        tmp_path_factory.mktemp("stack"),
        "--workers",
        "2",
        DC_WORKER_COMPUTE_TIMEOUT_S=str(COMPUTE_TIMEOUT_S),
        DC_WORKER_REMOTE_RETRY_S=str(RETRY_S),
    ) as stack:
        yield stack


@pytest.fixture
async def client(launched: LaunchedStack) -> AsyncIterator[Client]:
    async with Client(launched.ready["rest_url"], launched.ready["api_key"]) as opened:
        yield opened


@pytest.fixture
def session_of(client: Client, triton: TritonServer) -> SessionOf:
    @asynccontextmanager
    async def opened(model: str) -> AsyncIterator[Session]:
        async with client.session(await create(client, triton, model)) as session:
            yield session

    return opened
