"""A client of the Open Inference Protocol's gRPC stream. Argument: triton | mlserver."""

from __future__ import annotations

import sys
from typing import Any

import grpc

from benchmarks.peers.clients.measured import Given, Tally, main

if sys.argv[1] == "triton":
    from tritonclient.grpc import service_pb2 as pb
    from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub
else:
    from mlserver.grpc import dataplane_pb2 as pb
    from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub


def values_of(answer: Any) -> Any:
    """The values in an answer; Triton wraps it."""
    if hasattr(answer, "infer_response"):
        if answer.error_message:
            raise ValueError(answer.error_message)
        answer = answer.infer_response
    if answer.raw_output_contents:
        return answer.raw_output_contents[0]
    return list(answer.outputs[0].contents.fp32_contents)


async def converse(given: Given, tally: Tally) -> None:
    request = pb.ModelInferRequest(model_name="tanh", raw_input_contents=[given.values])
    request.inputs.add(name="x", datatype="FP32", shape=[1, 64])
    async with grpc.aio.insecure_channel(f"127.0.0.1:{given.port}") as channel:
        stream = GRPCInferenceServiceStub(channel).ModelStreamInfer()
        for _ in range(given.outstanding):
            tally.sent()
            await stream.write(request)
        async for answer in stream:
            tally.answered(lambda answer=answer: values_of(answer))
            if tally.stopped:
                return
            tally.sent()
            await stream.write(request)


if __name__ == "__main__":
    main(converse)
