"""The backend `onnx`: models of other tools, computed by onnxruntime."""

from ann_workers.backends.onnx.backend import OnnxBackend

__all__ = ["OnnxBackend"]
