"""A plain grpc.aio stream: one process that computes where it reads, protobuf in and out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np

from benchmarks.peers.computing import compute
from protos.dc.v1.tensor_pb2 import Payload, Tensor


async def stream(requests: AsyncIterator[Payload], _context: Any) -> AsyncIterator[Payload]:
    async for request in requests:
        tensor = request.tensors[0]
        y = compute(np.frombuffer(tensor.data, dtype="<f4").reshape(tensor.shape))
        yield Payload(tensors=[Tensor(datatype="FP32", shape=y.shape, data=y.tobytes())])


async def main() -> None:
    server = grpc.aio.server()
    method = grpc.stream_stream_rpc_method_handler(
        stream,
        request_deserializer=Payload.FromString,
        response_serializer=Payload.SerializeToString,
    )
    handler = grpc.method_handlers_generic_handler("bench.Compute", {"Stream": method})
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{os.environ['BENCHMARK_PORT']}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
