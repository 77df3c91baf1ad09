"""The demo from its first step to its last, on a stack that it starts and stops."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from direct_contact.client import Client
from foundation.errors import DirectContactError
from launcher.demo import answering, creating, scaling, training
from launcher.demo.failing import DemoFailed
from launcher.demo.screen import Screen
from launcher.demo.splitting import split_digits
from launcher.demo.traffic import Traffic
from launcher.supervisor import Output, Stack, StackOptions, running

REPORT_TITLE = "What it took"
START_TITLE = "start of the stack"
STEP_LIMIT_S = 120.0
"""A step that takes longer failed; the longest takes 10 s where nothing else runs."""


@dataclass(slots=True)
class Report:
    """What the demo found."""

    accuracy: float = 0.0
    largest_difference: float = 0.0
    traffic: list[dict[str, object]] = field(default_factory=list)
    memory_mib: dict[str, float] = field(default_factory=dict)
    """Resident memory of each process once the stack was ready, by name."""

    def as_json(self) -> dict[str, Any]:
        """The report, for `--json`."""
        return {
            "accuracy": self.accuracy,
            "largest_difference": self.largest_difference,
            "steps": self.traffic,
            "memory_mib": self.memory_mib,
        }


async def run_demo(options: StackOptions, screen: Screen, output: Output) -> Report:
    """Start a stack, show the five steps as an ordinary client, stop it.

    Args:
        options: of the stack.
        screen: where to show.
        output: takes the log lines of the processes.

    Raises:
        DemoFailed: names the step.
    """
    report = Report()
    async with contextlib.AsyncExitStack() as opened:
        with _step(0, START_TITLE):
            stack = await opened.enter_async_context(running(options, output))
        screen.say(f"Started {len(stack.processes)} processes; REST is at {stack.rest_url}")
        report.memory_mib = memory_mib(stack)
        client = await opened.enter_async_context(Client(stack.rest_url, stack.api_key))
        await show(client, screen, report, workers=options.workers or 1)
    screen.say("Stopped everything that it started.")
    return report


async def show(client: Client, screen: Screen, report: Report, *, workers: int) -> None:
    """The five steps, through REST and WebSockets only, on any stack with `workers` workers."""
    learn_from, held_out = split_digits()
    taught = Traffic("training")
    answered = Traffic("answering")
    moved = Traffic("scaling")

    screen.step(1, creating.TITLE)
    with _step(1, creating.TITLE):
        async with asyncio.timeout(STEP_LIMIT_S):
            network = await creating.create_digits(client, screen)

    screen.step(2, training.TITLE)
    with _step(2, training.TITLE):
        async with asyncio.timeout(STEP_LIMIT_S):
            version = await training.train(client, network, learn_from, screen, taught)

    screen.step(3, answering.TITLE)
    with _step(3, answering.TITLE):
        async with asyncio.timeout(STEP_LIMIT_S):
            report.accuracy = await answering.answer(
                client, network, version, held_out, screen, answered, workers=workers
            )

    screen.step(4, scaling.TITLE)
    with _step(4, scaling.TITLE):
        async with asyncio.timeout(STEP_LIMIT_S):
            report.largest_difference = await scaling.scale_while_streaming(
                client, screen, moved, workers=workers
            )

    screen.step(5, REPORT_TITLE)
    with _step(5, REPORT_TITLE):
        report.traffic = [traffic.summary() for traffic in (taught, answered, moved)]
        screen.table(report.traffic)


def memory_mib(stack: Stack) -> dict[str, float]:
    """Resident memory of the stack's processes; empty where there is no /proc."""
    found: dict[str, float] = {}
    for process in stack.processes:
        with contextlib.suppress(OSError, StopIteration, ValueError):
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            resident = next(line for line in lines if line.startswith("VmRSS:"))
            found[process.name] = round(int(resident.split()[1]) / 1024, 1)
    return found


@contextlib.contextmanager
def _step(number: int, title: str) -> Iterator[None]:
    try:
        yield
    except* TimeoutError:
        raise DemoFailed(number, title, f"it took more than {STEP_LIMIT_S:.0f} s") from None
    except* DirectContactError as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise DemoFailed(number, title, str(first)) from group
