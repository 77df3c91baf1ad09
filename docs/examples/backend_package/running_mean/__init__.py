"""The mean of all vectors that a session has sent so far: any Python function works this way."""

import numpy as np

from ann_workers.backends.payload import payload_prefix
from ann_workers.backends.port import Answer, Signature, TensorSpec
from foundation.errors import InvalidInput


class RunningMean:
    name = "running-mean"

    def load(self, spec, weights):  # noqa: ARG002  # a spec is all that it needs
        return Model(int(spec["size"]))


class Model:
    def __init__(self, size):
        vector = (TensorSpec("input", "FP32", (size,)),)
        self.size = size
        self.signature = Signature(vector, vector, stateful=True, trainable=False, max_batch=64)

    def new_state(self):
        return np.zeros(self.size + 1)  # the sum, and how many there were

    def check(self, tensors):
        if (
            len(tensors) != 1
            or tensors[0].datatype != "FP32"
            or len(tensors[0].data) != 4 * self.size
        ):
            raise InvalidInput(f"expected one FP32 tensor with {self.size} elements")

    def infer(self, batch):
        return [self.answer(request) for request in batch]

    def answer(self, request):
        before = self.new_state() if request.state is None else request.state
        state = before + np.append(np.frombuffer(request.tensors[0].data, "<f4"), 1)
        mean = (state[:-1] / state[-1]).astype("<f4").tobytes()
        return Answer(payload_prefix("output", "FP32", (self.size,), len(mean)) + mean, state)

    def dump_state(self, state):
        return state.tobytes()

    def load_state(self, data):
        if len(data) != 8 * (self.size + 1):
            raise InvalidInput(f"a state has {8 * (self.size + 1)} bytes, got {len(data)}")
        return np.frombuffer(data)

    def fork(self):
        raise InvalidInput("it can't be trained", code="not_trainable")
