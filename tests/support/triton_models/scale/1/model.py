"""Doubles. A first value of 1000 or more is a wish to sleep that many milliseconds."""

import time

import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            x = pb.get_input_tensor_by_name(request, "x").as_numpy()
            if x.size and x.flat[0] >= 1000:
                time.sleep(x.flat[0] / 1000)
            answers.append(pb.InferenceResponse([pb.Tensor("y", x * 2)]))
        return answers
