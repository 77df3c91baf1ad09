"""Jina: a WebSocket gateway, and an executor in a process of its own with dynamic batching."""

import os

import numpy as np
from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from jina import Executor, Flow, dynamic_batching, requests

from benchmarks.peers.computing import compute


class Vector(BaseDoc):  # type: ignore[misc,unused-ignore]
    values: NdArray


class Model(Executor):  # type: ignore[misc,unused-ignore]
    @requests(on="/compute")
    @dynamic_batching(preferred_batch_size=64, timeout=1)
    def compute(self, docs: DocList[Vector], **_: object) -> DocList[Vector]:
        y = compute(np.stack([doc.values for doc in docs]).astype(np.float32))
        return DocList[Vector]([Vector(values=row) for row in y])


if __name__ == "__main__":
    flow = Flow(
        protocol="websocket",
        host="127.0.0.1",
        port=int(os.environ["BENCHMARK_PORT"]),
    ).add(uses=Model)
    with flow:
        flow.block()
