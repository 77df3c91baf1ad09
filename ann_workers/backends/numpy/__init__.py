"""Networks from a layer spec, computed and trained in float32 with numpy."""

from ann_workers.backends.numpy.backend import NumpyBackend

__all__ = ["NumpyBackend"]
