"""Having an ONNX file looked at, by a process of its own."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from foundation.errors import CallerError, InvalidInput, Unavailable
from registry.networks.onnx.spec import OnnxSpec, StateRequest

log = logging.getLogger(__name__)

MODULE: Final = "registry.networks.onnx"
AT_ONCE: Final = 2
"""Files inspected at a time: each takes a core, and memory for a few copies of the file."""
MEMORY_BYTES: Final = 6 << 30
"""Address space of the process: onnxruntime maps more than it uses."""
CPU_S: Final = 60
TIMEOUT_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class InspectedFile:
    """What the process found."""

    spec: dict[str, Any]
    stateful: bool
    parameters: int


class Inspector:
    """Inspects files; at most two at a time, whoever asks."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def inspect(
        self, data: bytes, *, name: str, state: Sequence[StateRequest], batch: bool
    ) -> InspectedFile:
        """What a worker needs to know to serve this file.

        Raises:
            InvalidInput: it can't be served, with the reason.
            CallerError: `backend_unavailable`: this server has no `onnx`.
            Unavailable: the process could not be run.
        """
        asked = {
            "name": name,
            "state": [one.model_dump(mode="json") for one in state],
            "batch": batch,
            "memory_bytes": MEMORY_BYTES,
            "cpu_s": CPU_S,
        }
        async with self._turns:
            answer = await _ask(json.dumps(asked).encode() + b"\n" + data)
        if (error := answer.get("error")) is not None:
            kind = CallerError if error["code"] == "backend_unavailable" else InvalidInput
            raise kind(error["message"], code=error["code"], field=error["field"])
        if not answer["loaded"]:
            log.warning("onnxruntime is not installed here: %s was not loaded to try it", name)
        spec = OnnxSpec.model_validate(answer["spec"])
        return InspectedFile(answer["spec"], spec.stateful, answer["parameters"])


async def _ask(request: bytes) -> dict[str, Any]:
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", MODULE,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        raise Unavailable(f"a process to inspect the file did not start: {error}") from error
    try:
        async with asyncio.timeout(TIMEOUT_S):
            answer, said = await process.communicate(request)
    except TimeoutError:
        raise InvalidInput(
            f"file: reading the model takes longer than {TIMEOUT_S:g} s",
            code="too_slow",
            field="file",
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        parsed: dict[str, Any] = json.loads(answer)
    except ValueError:
        log.warning(
            "the inspection of a file ended with %s: %s",
            process.returncode,
            said[-2000:].decode(errors="replace"),
        )
        raise InvalidInput(
            "file: reading the model failed hard, or took too much memory or time",
            code="not_loadable",
            field="file",
        ) from None
    return parsed
