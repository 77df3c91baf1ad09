"""Ray Serve: a WebSocket ingress, and a deployment behind its handle that batches.

Tuned as its documentation says for throughput: the settings of RAY_SERVE_THROUGHPUT_OPTIMIZED (set
by whoever starts this), no access log, as many requests in flight as there are.
"""

import asyncio
import os
import signal
from typing import Any

import ray
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from ray import serve

from benchmarks.peers.computing import compute_bytes

app = FastAPI()
MANY = 4096


@serve.deployment(max_ongoing_requests=MANY, ray_actor_options={"num_cpus": 0})
class Model:
    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.001, max_concurrent_batches=4)
    async def compute(self, inputs: list[bytes]) -> list[bytes]:
        return compute_bytes(inputs)


@serve.deployment(max_ongoing_requests=MANY, ray_actor_options={"num_cpus": 0})
@serve.ingress(app)
class Front:
    def __init__(self, model: Any) -> None:
        self._model = model

    @app.websocket("/")
    async def stream(self, socket: WebSocket) -> None:
        await socket.accept()
        answers: asyncio.Queue[Any] = asyncio.Queue(64)

        async def send() -> None:
            while True:
                await socket.send_bytes(await (await answers.get()))

        sending = asyncio.create_task(send())
        try:
            while True:
                await answers.put(self._model.compute.remote(await socket.receive_bytes()))
        except WebSocketDisconnect:
            return
        finally:
            sending.cancel()


def main() -> None:
    stopped = False

    def stop(_number: int, _frame: Any) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="error")
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["BENCHMARK_PORT"])})
    serve.run(
        Front.bind(Model.bind()),
        logging_config={"log_level": "ERROR", "enable_access_log": False},
    )
    print("ready", flush=True)
    while not stopped:
        signal.pause()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
