"""One worker and two, where computing dominates."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from benchmarks import processes
from benchmarks.measuring import Sample, Shape, put_load, random_payload
from benchmarks.references.computing import SPEC_VARIABLE
from benchmarks.statistics import Goal
from benchmarks.targets import ONE_THREAD, ROOT, ours
from benchmarks.works.networks import WIDE, WIDE_FEATURES
from benchmarks.works.work import Context, Variant, Work
from launcher.embedded.tether import tethered

ONE, TWO = "1 worker", "2 workers"
ROWS = 4
"""Of an input: what carries it costs a twentieth of computing it."""
BARE_ONE, BARE_TWO = "bare numpy (1 process)", "bare numpy (2 processes)"


@asynccontextmanager
async def _scaling(context: Context) -> AsyncIterator[Sequence[Variant]]:
    shape = Shape(
        sessions=16,
        outstanding=16,
        warm_s=context.warm_s * 2,
        measure_s=context.measure_s,
        cpus=context.load_cpus,
    )
    payload = random_payload(ROWS, WIDE_FEATURES)
    async with AsyncExitStack() as opened:
        variants = []
        for name, workers in ((ONE, 1), (TWO, 2)):
            stack = await opened.enter_async_context(
                ours(context.directory / name, WIDE, workers=workers)
            )
            measure = partial(put_load, stack.target(name, WIDE["name"]), shape, payload)
            variants.append(Variant(name, measure))
        for name, count in ((BARE_ONE, 1), (BARE_TWO, 2)):
            variants.append(Variant(name, partial(_bare, count, context.measure_s)))
        yield variants


async def _bare(count: int, seconds: float) -> Sample:
    rates = await asyncio.gather(*(_compute(seconds) for _ in range(count)))
    return Sample({"answers/s": sum(rates)})


async def _compute(seconds: float) -> float:
    process = await asyncio.create_subprocess_exec(
        *tethered([sys.executable, "-m", "benchmarks.references.bare_compute", str(seconds)]),
        env={
            **os.environ,
            **ONE_THREAD,
            "PYTHONPATH": str(ROOT),
            SPEC_VARIABLE: json.dumps(WIDE),
        },
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return float(output)


SCALING = Work(
    "scale",
    f"a wide network (10 million parameters), {ROWS} rows an input, 16 × 16, on "
    f"{processes.cores()} cores that the load generator, gateway and NATS share",
    ("answers/s", "p50 ms", "server µs"),
    _scaling,
    (
        Goal("answers/s", TWO, ">=", 1.7, ONE),
        Goal("answers/s", BARE_TWO, ">=", 1.7, BARE_ONE),
    ),
)
