"""Gives texts back in upper case, with `suffix` after each where it was given."""

import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            texts = pb.get_input_tensor_by_name(request, "text").as_numpy()
            suffix = pb.get_input_tensor_by_name(request, "suffix")
            end = suffix.as_numpy()[0] if suffix is not None else b""
            out = np.array([text.upper() + end for text in texts], object)
            answers.append(pb.InferenceResponse([pb.Tensor("text", out)]))
        return answers
