"""Counts to n. A pause between outputs when `pause_ms` asks for one; a negative n fails at once."""

import threading
import time

import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        # A thread for each: one request that takes its time does not hold the next one up.
        for request in requests:
            threading.Thread(target=self.count, args=(request,), daemon=True).start()

    @staticmethod
    def count(request):
        sender = request.get_response_sender()
        n = int(pb.get_input_tensor_by_name(request, "n").as_numpy()[0])
        pause = pb.get_input_tensor_by_name(request, "pause_ms")
        pause_s = int(pause.as_numpy()[0]) / 1000 if pause is not None else 0
        if n < 0:
            error = pb.TritonError(f"a negative n: {n}")
            sender.send(
                pb.InferenceResponse(error=error), flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL
            )
            return
        for i in range(n):
            if request.is_cancelled():
                break
            sender.send(pb.InferenceResponse([pb.Tensor("i", np.array([i], np.int32))]))
            time.sleep(pause_s)
        sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
