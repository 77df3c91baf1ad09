"""BentoML: a WebSocket in the service at the front, adaptive batches in a service behind it."""

from __future__ import annotations

import asyncio
from typing import Any

import bentoml
import numpy as np
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from benchmarks.peers.computing import compute

SETTINGS: dict[str, Any] = {
    "workers": 1,
    "traffic": {"timeout": 60, "max_concurrency": 1024},
    "logging": {"access": {"enabled": False}},
    "metrics": {"enabled": False},
    "tracing": {"sample_rate": 0.0},
}


@bentoml.service(**SETTINGS)
class Model:
    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=10_000)
    def predict(self, x: np.ndarray) -> np.ndarray:
        return compute(x)


async def stream(socket: WebSocket) -> None:
    await socket.accept()
    service: Any = bentoml.get_current_service()
    model = service.model.to_async
    # Its client closes its connections after 100 requests, also those that are in use: seen in
    # 1.4.39, where every concurrent request then fails.
    model._session_manager.max_requests = 10**9  # noqa: SLF001
    answers: asyncio.Queue[Any] = asyncio.Queue(64)

    async def send() -> None:
        while True:
            y = await (await answers.get())
            await socket.send_bytes(np.asarray(y, dtype="<f4").tobytes())

    async def receive() -> None:
        while True:
            x = np.frombuffer(await socket.receive_bytes(), dtype="<f4").reshape(1, -1)
            await answers.put(asyncio.ensure_future(model.predict(x)))

    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send())
            tasks.create_task(receive())
    except* WebSocketDisconnect:
        pass


app = Starlette(routes=[WebSocketRoute("/stream", stream)])


@bentoml.service(**SETTINGS)
@bentoml.asgi_app(app)
class Front:
    model = bentoml.depends(Model)
