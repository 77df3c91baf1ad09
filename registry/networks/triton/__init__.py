"""Networks that a Triton server computes: what it tells of a model, and how it is asked."""

from registry.networks.triton.spec import TritonSpec, TritonTensor, parse_triton_spec

__all__ = ["TritonSpec", "TritonTensor", "parse_triton_spec"]
