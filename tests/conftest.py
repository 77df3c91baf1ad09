"""Fixtures that every kind of test may use: real servers, and clients connected to them."""

from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from redis.asyncio import Redis

from broker.nats import NatsBroker
from broker.nats import connect as connect_broker
from foundation.redis import connect as connect_redis
from foundation.settings import BrokerSettings
from tests.support.postgres import PostgresServer
from tests.support.servers import NatsServer, RedisServer


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--compiled", action="store_true", help="fail where a module to compile is not compiled"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--compiled"):
        told = tomllib.loads((config.rootpath / "pyproject.toml").read_text())
        hook = told["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
        for path in hook["modules"]:
            spec = find_spec(path.removesuffix(".py").replace("/", "."))
            if spec is None or spec.origin is None or spec.origin.endswith(".py"):
                raise pytest.UsageError(f"--compiled: {path} is not: make test-compiled")


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One NATS for the whole run. Tests that stop it take `own_nats_server`."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for the whole run. Tests that stop it take `own_redis_server`."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for the whole run; a test that takes it is a system test."""
    server = PostgresServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A NATS of this test alone, to kill, freeze and restart."""
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test alone, which finds its data again after a restart."""
    server = RedisServer(tmp_path / "redis", durable=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def broker(nats_server: NatsServer) -> AsyncIterator[NatsBroker]:
    """A broker connected to the run's NATS. Subjects are shared: choose names of your own."""
    settings = BrokerSettings(nats_url=nats_server.url)
    connected = await connect_broker(settings, name="test")
    yield connected
    await connected.close()


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Redis]:
    """A client of the run's Redis, whose database is empty."""
    client = await connect_redis(redis_server.url, timeout_s=20)
    await client.flushdb()
    yield client
    await client.aclose()
