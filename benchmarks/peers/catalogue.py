"""The peers, each in its best documented mode for a stream of small inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

PYTHON = "{python}"
"""Stands for the peer's own Python in a command, `{directory}` for an empty directory."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer.

    Args:
        name: of its environment.
        title: for people; tells the mode.
        requirements: for pip.
        command: starts it.
        ready: `port`: when it accepts connections; `/path`: when that answers 200 over HTTP.
        ready_offset: added to the port for that question.
        client: a module that runs in the peer's environment, with its arguments; empty: our own
            load generator, by `wire`.
        path: for our own generator.
        serving: a system that serves models; otherwise a bare stream.
    """

    name: str
    title: str
    requirements: tuple[str, ...]
    command: tuple[str, ...]
    ready: str = "port"
    ready_offset: int = 0
    client: str = ""
    wire: Literal["websocket", "http"] = "websocket"
    path: str = "/"
    serving: bool = True
    environment: dict[str, str] = field(default_factory=dict)


PEERS = (
    Peer(
        "grpc",
        "grpc.aio stream, in place",
        ("grpcio", "numpy", "protobuf>=6.33,<7"),
        (PYTHON, "-m", "benchmarks.peers.servers.grpc_stream"),
        client="benchmarks.peers.clients.grpc_stream",
        serving=False,
    ),
    Peer(
        "mlserver",
        "MLServer, gRPC stream",
        ("mlserver", "numpy"),
        ("{bin}/mlserver", "start", "{directory}"),
        ready="/v2/health/ready",
        ready_offset=1,
        client="benchmarks.peers.clients.kserve_stream mlserver",
    ),
    Peer(
        "triton",
        "Triton, Python backend, gRPC stream",
        ("nvidia-pytriton", "tritonclient[grpc]", "protobuf>=6.33,<7"),
        (PYTHON, "-m", "benchmarks.peers.servers.triton_server", "{directory}/triton"),
        ready="/v2/health/ready",
        ready_offset=1,
        client="benchmarks.peers.clients.kserve_stream triton",
    ),
    Peer(
        "litserve",
        "LitServe, HTTP",
        ("litserve", "numpy"),
        (PYTHON, "-m", "benchmarks.peers.servers.litserve_server"),
        ready="/health",
        wire="http",
        path="/predict",
    ),
    Peer(
        "bentoml",
        "BentoML, WebSocket",
        ("bentoml", "numpy"),
        (
            PYTHON,
            "-m",
            "bentoml",
            "serve",
            "benchmarks.peers.servers.bentoml_service:Front",
            "--host",
            "127.0.0.1",
            "--port",
            "{port}",
        ),
        ready="/readyz",
        path="/stream",
        environment={"BENTOML_DO_NOT_TRACK": "True"},
    ),
    Peer(
        "ray",
        "Ray Serve, WebSocket",
        ("ray[serve]", "numpy"),
        (PYTHON, "-m", "benchmarks.peers.servers.ray_serve"),
        ready="/-/healthz",
        environment={
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_SERVE_LOG_TO_STDERR": "0",
        },
    ),
    Peer(
        "jina",
        "Jina, WebSocket",
        ("jina", "setuptools<81", "pydantic<2", "numpy"),
        (PYTHON, "-m", "benchmarks.peers.servers.jina_flow"),
        client="benchmarks.peers.clients.jina_stream",
        environment={"JINA_OPTOUT_TELEMETRY": "1"},
    ),
)
