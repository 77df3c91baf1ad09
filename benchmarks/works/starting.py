"""From `up` to the first answer."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.load.__main__ import connect
from benchmarks.load.frames import InputMessages
from benchmarks.load.meter import Meter
from benchmarks.load.rest import RestLine, door_of
from benchmarks.load.talks import StreamTalk
from benchmarks.load.wires import Broken
from benchmarks.measuring import LoadFailed, Sample, random_payload
from benchmarks.statistics import Goal
from benchmarks.targets import OUR_MODULES, check_modules
from benchmarks.works.networks import FEATURES, SMALL
from benchmarks.works.work import Context, Variant, Work
from launcher.embedded.tether import tethered

UP = "direct-contact up"
TIMEOUT_S = 60.0
POLL_S = 0.001


@asynccontextmanager
async def _starting(context: Context) -> AsyncIterator[Sequence[Variant]]:
    # The first start makes the records and the network, and warms the cache.
    await _first_answer(context.directory, create=True)

    async def start() -> Sample:
        return Sample(await _first_answer(context.directory, create=False))

    yield [Variant(UP, start)]


async def _first_answer(directory: Path, *, create: bool) -> dict[str, float]:
    ready_file = directory / "ready-for-bench.json"
    ready_file.unlink(missing_ok=True)
    # A warm cache has the bytecode of our own modules too, as the first start leaves it.
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("DC_") and name != "PYTHONDONTWRITEBYTECODE"
    }
    arguments = ["--data-dir", str(directory / "data"), "--ready-file", str(ready_file)]
    arguments += ["--port", "0", "--stream-port", "0"]
    started_at = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *tethered([sys.executable, "-m", "launcher", "up", *arguments]),
        env={**inherited, **OUR_MODULES},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while not ready_file.exists():
                if process.returncode is not None:
                    raise LoadFailed(f"up ended with {process.returncode}")
                await asyncio.sleep(POLL_S)
            ready_s = time.perf_counter() - started_at
            check_modules(directory / "data")
            await _answer(json.loads(ready_file.read_text()), create=create)
            answered_s = time.perf_counter() - started_at
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
    return {"first answer s": answered_s, "ready s": ready_s}


async def _answer(ready: dict[str, Any], *, create: bool) -> None:
    url = urlsplit(ready["rest_url"])
    rest = RestLine(url.hostname or "", url.port or 80, ready["api_key"])
    if create:
        await rest.post("/v1/networks", SMALL)
    opened = await rest.post("/v1/sessions", {"network": SMALL["name"]})
    messages = InputMessages(random_payload(FEATURES), websocket=True)
    talk = _OneAnswer(Meter(), messages, outstanding=1, bundle=False, expected=())
    await connect(door_of(opened["stream"]), talk)
    try:
        await talk.ready
        talk.begin()
        await talk.answered
    except Broken as error:
        raise LoadFailed(str(error)) from error
    talk.end()
    rest.close()


class _OneAnswer(StreamTalk):
    """Sends one input and is content with its answer."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.answered = asyncio.get_running_loop().create_future()
        self.paced = True

    def turn_over(self) -> None:
        """The answer came, or the Welcome."""
        if self._answered and not self.answered.done():
            self.answered.set_result(None)
        super().turn_over()


STARTING = Work(
    "up",
    "`direct-contact up` until the first answer, warm cache",
    ("first answer s", "ready s"),
    _starting,
    (Goal("first answer s", UP, "<=", 1.5, unit="s"),),
)
