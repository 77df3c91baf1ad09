"""A client of the plain grpc.aio stream."""

from __future__ import annotations

import grpc

from benchmarks.peers.clients.measured import Given, Tally, main
from protos.dc.v1.tensor_pb2 import Payload, Tensor


async def converse(given: Given, tally: Tally) -> None:
    request = Payload(tensors=[Tensor(datatype="FP32", shape=[64], data=given.values)])
    async with grpc.aio.insecure_channel(f"127.0.0.1:{given.port}") as channel:
        stream = channel.stream_stream(
            "/bench.Compute/Stream",
            request_serializer=Payload.SerializeToString,
            response_deserializer=Payload.FromString,
        )()
        for _ in range(given.outstanding):
            tally.sent()
            await stream.write(request)
        async for answer in stream:
            tally.answered(lambda answer=answer: answer.tensors[0].data)
            if tally.stopped:
                return
            tally.sent()
            await stream.write(request)


if __name__ == "__main__":
    main(converse)
