"""Loading ONNX files into onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

import onnxruntime

from ann_workers.backends.onnx.model import OnnxModel
from ann_workers.backends.onnx.settings import OnnxSettings
from ann_workers.backends.port import Backend
from foundation.errors import InvalidInput
from foundation.settings import Settings
from registry.networks.onnx.spec import parse_onnx_spec

QUIET = 4
"""onnxruntime's level `fatal`: what it says of a model is in its exceptions too."""


class OnnxBackend:
    """Loads networks whose weights blob is an ONNX file and whose spec is an `OnnxSpec`."""

    name = "onnx"

    def __init__(self, settings: OnnxSettings | None = None) -> None:
        self._settings = settings or OnnxSettings()

    @classmethod
    def configured(cls, settings: Settings) -> Self:
        """The backend of a worker with these settings."""
        return cls(settings.get(OnnxSettings))  # type: ignore[arg-type]  # a group by its class

    def load(self, spec: Mapping[str, Any], weights: bytes) -> OnnxModel:
        """Load one network version.

        Args:
            spec: what inspecting the file gave when the network was created.
            weights: the file.

        Raises:
            InvalidInput: the spec is not valid, or onnxruntime can't load the file.
        """
        parsed = parse_onnx_spec(spec)
        _limit_memory(self._settings.worker_onnx_memory_bytes)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._settings.worker_onnx_threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = QUIET
        options.add_session_config_entry("session.use_env_allocators", "1")
        # A thread that waits for work by spinning takes the core from the other replicas.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(
                weights, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no class of their own
            raise InvalidInput(
                f"onnxruntime {onnxruntime.__version__} can't load the model: {str(error)[:400]}",
                code="not_loadable",
            ) from error
        return OnnxModel(parsed, session)


@lru_cache(maxsize=1)
def _limit_memory(most_bytes: int) -> None:
    """Give all sessions of this process one arena of limited size; the first call counts."""
    onnxruntime.create_and_register_allocator(
        onnxruntime.OrtMemoryInfo(
            "Cpu",
            onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR,
            0,
            onnxruntime.OrtMemType.DEFAULT,
        ),
        # Strategy 1 grows by what is asked for; the other doubles, and keeps it.
        onnxruntime.OrtArenaCfg({"max_mem": most_bytes, "arena_extend_strategy": 1}),
    )


if TYPE_CHECKING:
    _fits_the_port: Backend = OnnxBackend()
