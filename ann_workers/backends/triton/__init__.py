"""The backend `triton`: models that a Triton server computes. An extra brings the gRPC for it."""
