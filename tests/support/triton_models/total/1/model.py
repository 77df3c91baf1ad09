"""Adds up what each sequence brought, and says whose total it is.

An input of 1000 or more is a wish to sleep that many milliseconds; a negative one fails.
"""

import time

import numpy as np
import triton_python_backend_utils as pb


def given(request, name):
    return pb.get_input_tensor_by_name(request, name).as_numpy().reshape(-1)[0]


class TritonPythonModel:
    def initialize(self, args):
        self.totals = {}

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        sequence, x = int(given(request, "CORRID")), float(given(request, "x"))
        if given(request, "START"):
            self.totals[sequence] = 0.0
        if x < 0:
            error = pb.TritonError(f"a negative x: {x}")
            return pb.InferenceResponse(error=error)
        if x >= 1000:
            time.sleep(x / 1000)
        self.totals[sequence] += x
        total = self.totals[sequence]
        if given(request, "END"):
            del self.totals[sequence]
        return pb.InferenceResponse(
            [
                pb.Tensor("total", np.array([[total]], np.float32)),
                pb.Tensor("sequence", np.array([[sequence]], np.uint64)),
            ]
        )
