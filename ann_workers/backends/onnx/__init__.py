"""The backend `onnx`: models of other tools, computed by onnxruntime, which an extra brings."""
