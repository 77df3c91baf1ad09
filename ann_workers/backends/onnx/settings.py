"""How much of the machine one worker's ONNX networks may take."""

from __future__ import annotations

from pydantic import Field

from foundation.settings import SettingsGroup


class OnnxSettings(SettingsGroup):
    """The backend `onnx` of an ANN worker."""

    worker_onnx_threads: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Threads that compute one ONNX operator; replicas share the machine, so more "
        "workers are better than more threads",
    )
    worker_onnx_memory_bytes: int = Field(
        default=1 << 30,
        ge=16 << 20,
        description="Memory that onnxruntime may take for tensors, for all ONNX networks of the "
        "worker; an input that needs more fails",
    )
