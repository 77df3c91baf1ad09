"""`python -m registry.networks.onnx`: look at an ONNX file in a process of its own.

The file comes on stdin after one line of JSON: {"name", "state", "batch", "memory_bytes",
"cpu_s"}. The answer is one line of JSON on stdout: {"spec", "parameters", "loaded"} or {"error":
{"code", "field", "message"}}. Parsers and runtimes are native code: whatever a file does to them,
it does to this process alone, within its limits of memory and time.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

from foundation.errors import InvalidInput
from registry.networks.onnx.spec import StateRequest


def main() -> None:
    """Answer for the one file on stdin."""
    asked = json.loads(sys.stdin.buffer.readline())
    data = sys.stdin.buffer.read()
    # Native libraries write to file descriptor 1 as they like: the answer gets its own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _limit(asked["memory_bytes"], asked["cpu_s"])
    try:
        answer = _inspect(asked, data)
    except InvalidInput as error:
        answer = _refusal(error.code, error.message, error.field)
    except MemoryError:
        answer = _refusal("too_large", "file: reading the model takes too much memory", "file")
    answers.write(json.dumps(answer))
    answers.close()


def _inspect(asked: dict[str, Any], data: bytes) -> dict[str, Any]:
    try:
        from registry.networks.onnx.inspection import inspect_model
    except ImportError as error:
        return _refusal("backend_unavailable", f"onnx can't be imported: {error}", None)
    state = [StateRequest.model_validate(one) for one in asked["state"]]
    found = inspect_model(data, name=asked["name"], state=state, batch=asked["batch"])
    return {
        "spec": found.spec.model_dump(mode="json"),
        "parameters": found.parameters,
        "loaded": _load(data),
    }


def _load(data: bytes) -> bool:
    """Load it as a worker does. False: onnxruntime is not installed beside the REST API."""
    try:
        import onnxruntime
    except ImportError:
        return False
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no class
        raise InvalidInput(
            f"file: onnxruntime {onnxruntime.__version__} can't load it: {str(error)[:400]}",
            code="not_loadable",
            field="file",
        ) from error
    return True


def _refusal(code: str, message: str, field: str | None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "field": field}}


def _limit(memory_bytes: int, cpu_s: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
