"""LitServe: HTTP with JSON, batches in a worker process; its WebSocket mode does not exist."""

from __future__ import annotations

import os
from typing import Any

import litserve
import numpy as np

from benchmarks.peers.computing import compute


class Api(litserve.LitAPI):  # type: ignore[misc,unused-ignore]
    def setup(self, device: Any) -> None: ...

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # FastAPI reads it
        return np.asarray(request["input"], dtype=np.float32)

    def batch(self, inputs: list[Any]) -> Any:
        return np.stack(inputs)

    def predict(self, x: Any) -> Any:
        return compute(x)

    def unbatch(self, output: Any) -> list[Any]:
        return list(output)

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"output": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(
        Api(max_batch_size=64, batch_timeout=0.001), accelerator="cpu", fast_queue=True
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["BENCHMARK_PORT"]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="error",
        access_log=False,
    )
