"""One measurement: a load on a target, with the CPU time of every process meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks import processes
from benchmarks.load.plan import Plan
from benchmarks.targets import ROOT, Target
from launcher.embedded.tether import tethered
from protos.dc.v1.tensor_pb2 import Payload, Tensor

OPENING_S = 120.0


class LoadFailed(Exception):
    """The generator could not put the load on; the message says why."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a load looks."""

    sessions: int = 1
    outstanding: int = 1
    bundle: bool = False
    rate: float = 0.0
    warm_s: float = 0.5
    measure_s: float = 3.0
    cpus: tuple[int, ...] = ()


@dataclass(slots=True)
class Sample:
    """What one measurement found."""

    figures: dict[str, float]
    """By name: `answers/s`, `p50 ms`, `MB/s`, `server µs`, ..."""
    server_us: dict[str, float] = field(default_factory=dict)
    """CPU time for each answer, by process."""
    detail: dict[str, Any] = field(default_factory=dict)


def random_payload(*shape: int, seed: int = 0) -> bytes:
    """A serialized `Payload` with one FP32 tensor of this shape."""
    data = np.random.default_rng(seed).standard_normal(shape).astype("<f4")
    tensor = Tensor(datatype="FP32", shape=shape, data=data.tobytes())
    return Payload(tensors=[tensor]).SerializeToString()


def values_of(payload: bytes) -> Any:
    """The first tensor of a payload."""
    tensor = Payload.FromString(payload).tensors[0]
    return np.frombuffer(tensor.data, dtype="<f4").reshape(tuple(tensor.shape))


async def put_load(
    target: Target, shape: Shape, payload: bytes, expected: Sequence[float] = ()
) -> Sample:
    """Open the sessions, put the load on, measure, close.

    Raises:
        LoadFailed: a session could not be opened, broke, or gave a wrong answer.
    """
    plan = Plan(
        doors=tuple(await target.doors(shape.sessions)),
        payload=payload,
        expected=tuple(float(value) for value in expected[:16]),
        outstanding=shape.outstanding,
        bundle=shape.bundle,
        rate=shape.rate,
        warm_s=shape.warm_s,
        measure_s=shape.measure_s,
        cpus=shape.cpus,
    )
    observed = await run_generator(
        "benchmarks.load", plan.to_json(), target.processes, plan.warm_s + plan.measure_s
    )
    return sample_of(observed, len(payload))


@dataclass(frozen=True, slots=True)
class Observed:
    """What a generator told, and the CPU time that others used meanwhile."""

    result: dict[str, Any]
    used_s: dict[str, float]
    """By process."""
    busy_s: float
    """Of the whole machine."""


async def run_generator(
    module: str,
    plan: dict[str, Any],
    pids: Callable[[], Mapping[str, int]],
    expected_s: float,
    *,
    python: str = sys.executable,
    arguments: Sequence[str] = (),
) -> Observed:
    """Run a load generator: it says "begin" and "end" around its measured window.

    Raises:
        LoadFailed: it told so, or it ended.
    """
    generator = await asyncio.create_subprocess_exec(
        *tethered([python, "-m", module, *arguments]),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=16 << 20,
    )
    try:
        async with asyncio.timeout(OPENING_S + expected_s):
            assert generator.stdin is not None
            assert generator.stdout is not None
            generator.stdin.write(json.dumps(plan).encode() + b"\n")
            await _line(generator.stdout, "begin")
            busy_s, before = processes.busy_seconds(), processes.cpu_seconds(pids())
            await _line(generator.stdout, "end")
            after = processes.cpu_seconds(pids())
            busy_s = processes.busy_seconds() - busy_s
            result = json.loads(await generator.stdout.readline())
    except TimeoutError:
        raise LoadFailed(f"{module} did not end in time") from None
    finally:
        if generator.returncode is None:
            generator.kill()
        await generator.wait()
    if "error" in result:
        raise LoadFailed(result["error"])
    if not after:
        raise LoadFailed("the server ended")
    used_s = {role: after[role] - before.get(role, 0.0) for role in after}
    return Observed(result, used_s, busy_s)


async def _line(stream: asyncio.StreamReader, wanted: str) -> None:
    line = (await stream.readline()).decode().strip()
    if line != wanted:
        try:
            reason = json.loads(line)["error"]
        except (ValueError, KeyError):
            reason = line or "the load generator ended"
        raise LoadFailed(reason)


def sample_of(observed: Observed, payload_bytes: int = 0) -> Sample:
    """The figures of a load."""
    result, used_s = observed.result, observed.used_s
    answers, duration_s = result["answers"], result["duration_s"]
    if not answers:
        raise LoadFailed("no answer came")
    generator_s = result["cpu_s"]
    figures = {
        "answers/s": answers / duration_s,
        "server µs": sum(used_s.values()) / answers * 1e6,
        "generator µs": generator_s / answers * 1e6,
        "generator share": generator_s / duration_s,
        "others share": max(0.0, observed.busy_s - sum(used_s.values()) - generator_s) / duration_s,
        **{f"{name} ms": value for name, value in result["latency_ms"].items()},
    }
    if payload_bytes:
        figures["MB/s"] = answers * payload_bytes / duration_s / 1e6
    if "p99 ms" in figures:
        figures["p99/p50"] = figures["p99 ms"] / figures["p50 ms"]
    return Sample(
        figures=figures,
        server_us={role: seconds / answers * 1e6 for role, seconds in used_s.items()},
        detail={name: result[name] for name in ("per_second", "histogram_us") if name in result},
    )
