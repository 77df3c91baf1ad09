"""MLServer: one process, gRPC stream."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
from mlserver import MLModel
from mlserver.types import (
    InferenceRequest,
    InferenceResponse,
    Parameters,
    RequestOutput,
    ResponseOutput,
    TensorData,
)

from benchmarks.peers.computing import FEATURES, compute

__all__ = ["Model", "Parameters", "RequestOutput"]


class Model(MLModel):  # type: ignore[misc,unused-ignore]
    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        data = payload.inputs[0].data.root
        if isinstance(data, bytes):
            x = np.frombuffer(data, dtype="<f4")
        else:
            x = np.asarray(data, dtype=np.float32)
        y = compute(x.reshape(-1, FEATURES))
        output = ResponseOutput(
            name="y", datatype="FP32", shape=list(y.shape), data=TensorData(root=y.reshape(-1))
        )
        return InferenceResponse(model_name=self.name, id=payload.id, outputs=[output])

    async def predict_stream(
        self, payloads: AsyncIterator[InferenceRequest]
    ) -> AsyncIterator[InferenceResponse]:
        async for payload in payloads:
            yield await self.predict(payload)
