"""A stand-in for Triton in this process: gRPC, and the models `scale`, `total` and `count`.

The contract tests run over it and over the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import numpy as np

from protos.dc.triton.v1 import inference_pb2 as pb
from registry.networks.triton.server import SERVICE

MODELS: dict[str, Any] = {
    "scale": (
        [("x", "FP32", [-1, -1])],
        [("y", "FP32", [-1, -1])],
        pb.ModelConfig(max_batch_size=16),
    ),
    "total": (
        [("x", "FP32", [-1, 1])],
        [("total", "FP32", [-1, 1]), ("sequence", "UINT64", [-1, 1])],
        pb.ModelConfig(max_batch_size=8, sequence_batching=pb.SequenceBatching()),
    ),
    "count": (
        [("n", "INT32", [1])],
        [("i", "INT32", [1])],
        pb.ModelConfig(model_transaction_policy=pb.TransactionPolicy(decoupled=True)),
    ),
}
DTYPES = {"FP32": np.dtype("<f4"), "INT32": np.dtype("<i4"), "UINT64": np.dtype("<u8")}


class FakeTriton:
    """Serves inside ``async with``."""

    def __init__(self) -> None:
        self.url = ""
        self.totals: dict[int, float] = {}
        self._server = grpc.aio.server()

    async def __aenter__(self) -> FakeTriton:
        handlers = {
            "ModelReady": _unary(self._ready, pb.ModelRequest),
            "ModelMetadata": _unary(self._metadata, pb.ModelRequest),
            "ModelConfig": _unary(self._config, pb.ModelRequest),
            "ModelInfer": _unary(self._infer, pb.InferRequest),
            "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(
                self._stream, pb.InferRequest.FromString, _serialized
            ),
        }
        service = grpc.method_handlers_generic_handler(SERVICE.strip("/"), handlers)
        self._server.add_generic_rpc_handlers((service,))
        self.url = f"grpc://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)

    def forget(self) -> None:
        """Know of no sequence any more, as after a restart."""
        self.totals.clear()

    async def _ready(self, request: Any, _: Any) -> pb.ModelReadyResponse:
        return pb.ModelReadyResponse(ready=request.name in MODELS)

    async def _metadata(self, request: Any, context: Any) -> pb.ModelMetadataResponse:
        if request.name not in MODELS:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{request.name}'"
            )
        inputs, outputs, _ = MODELS[request.name]
        return pb.ModelMetadataResponse(
            name=request.name,
            versions=["1"],
            inputs=[pb.TensorMetadata(name=n, datatype=d, shape=s) for n, d, s in inputs],
            outputs=[pb.TensorMetadata(name=n, datatype=d, shape=s) for n, d, s in outputs],
        )

    async def _config(self, request: Any, _: Any) -> pb.ModelConfigResponse:
        return pb.ModelConfigResponse(config=MODELS[request.name][2])

    async def _infer(self, request: pb.InferRequest, context: Any) -> pb.InferResponse:
        x = _array(request)
        if x.flat[0] >= 1000:
            await asyncio.sleep(x.flat[0] / 1000)
        if request.model_name == "scale":
            return _response(y=x * 2)
        given = request.parameters
        key = given["sequence_id"].int64_param
        if given["sequence_start"].bool_param:
            self.totals[key] = 0.0
        if key not in self.totals:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"inference request for sequence {key} to model 'total' must specify the START "
                "flag on the first request of the sequence",
            )
        if x.flat[0] < 0:
            await context.abort(grpc.StatusCode.INTERNAL, f"a negative x: {x.flat[0]}")
        self.totals[key] += float(x.flat[0])
        total = self.totals[key]
        if given["sequence_end"].bool_param:
            del self.totals[key]
        return _response(total=np.array([[total]], "<f4"), sequence=np.array([[key]], "<u8"))

    async def _stream(
        self, requests: AsyncIterator[pb.InferRequest], _: Any
    ) -> AsyncIterator[pb.StreamInferResponse]:
        async for request in requests:
            n = int(_array(request)[0])
            if n < 0:
                yield pb.StreamInferResponse(error_message=f"a negative n: {n}")
                continue
            for i in range(n):
                yield pb.StreamInferResponse(infer_response=_response(i=np.array([i], "<i4")))
            final = pb.InferResponse()
            final.parameters["triton_final_response"].bool_param = True
            yield pb.StreamInferResponse(infer_response=final)


def _array(request: pb.InferRequest) -> np.ndarray:
    told = request.inputs[0]
    return np.frombuffer(request.raw_input_contents[0], DTYPES[told.datatype]).reshape(
        tuple(told.shape)
    )


def _response(**arrays: np.ndarray) -> pb.InferResponse:
    names = {dtype: name for name, dtype in DTYPES.items()}
    response = pb.InferResponse()
    for name, array in arrays.items():
        response.outputs.append(
            pb.InferTensor(name=name, datatype=names[array.dtype], shape=array.shape)
        )
        response.raw_output_contents.append(array.tobytes())
    return response


def _serialized(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


def _unary(method: Any, request: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(method, request.FromString, _serialized)
