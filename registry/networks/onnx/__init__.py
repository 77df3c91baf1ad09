"""ONNX networks: what a file says of itself, and what a worker needs to know to serve it."""

from registry.networks.onnx.spec import BATCHED, OnnxSpec, StateRequest, StateTensor, TensorShape

__all__ = ["BATCHED", "OnnxSpec", "StateRequest", "StateTensor", "TensorShape"]
