"""Triton with its Python backend, dynamic batching, on an ordinary model repository.

The binaries are those of nvidia-pytriton, without its own proxy. Becomes tritonserver.
Argument: an empty directory.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

import pytriton

CONFIG = """
name: "tanh"
backend: "python"
max_batch_size: 64
input [{ name: "x", data_type: TYPE_FP32, dims: [64] }]
output [{ name: "y", data_type: TYPE_FP32, dims: [64] }]
instance_group [{ kind: KIND_CPU, count: 1 }]
dynamic_batching { max_queue_delay_microseconds: 100 }
"""

MODEL = """
import numpy as np
import triton_python_backend_utils as pb

from benchmarks.peers.computing import compute


class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        y = compute(np.concatenate(inputs))
        answers, start = [], 0
        for x in inputs:
            output = pb.Tensor("y", y[start : start + len(x)])
            start += len(x)
            answers.append(pb.InferenceResponse([output]))
        return answers
"""


def main() -> None:
    directory = Path(sys.argv[1])
    triton = Path(pytriton.__file__).parent / "tritonserver"
    backends = directory / "backends"
    shutil.copytree(triton / "backends", backends)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = triton / "python_backend_stubs" / version / "triton_python_backend_stub"
    shutil.copy(stub, backends / "python" / "triton_python_backend_stub")
    model = directory / "models" / "tanh"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(CONFIG)
    (model / "1" / "model.py").write_text(MODEL)
    libraries = [str(Path(pytriton.__file__).parents[1] / "nvidia_pytriton.libs")]
    libraries.append(sysconfig.get_config_var("LIBDIR"))
    site = str(Path(pytriton.__file__).parents[1])
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": ":".join(libraries),
        # Models run in the Python that comes first, with its numpy: another one's arrays of a
        # newer layout would be answered with no data at all.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{os.environ['PYTHONPATH']}:{site}",
    }
    port = int(os.environ["BENCHMARK_PORT"])
    binary = str(triton / "bin" / "tritonserver")
    os.execve(  # noqa: S606  # a list, and no shell is wanted
        binary,
        [
            binary,
            f"--model-repository={directory / 'models'}",
            f"--backend-directory={backends}",
            f"--grpc-port={port}",
            "--grpc-address=127.0.0.1",
            f"--http-port={port + 1}",
            "--http-address=127.0.0.1",
            "--allow-metrics=false",
            "--log-info=false",
        ],
        environment,
    )


if __name__ == "__main__":
    main()
