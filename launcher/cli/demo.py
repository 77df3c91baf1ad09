"""`direct-contact demo`: see it work."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from launcher.cli.failing import explained
from launcher.cli.options import JsonOption
from launcher.supervisor import Console, Line, Output, StackOptions

if TYPE_CHECKING:
    from launcher.demo.run import Report

_LAST_LINES = 40
INTERRUPTED = 130


def demo(
    workers: Annotated[
        int, typer.Option(min=1, max=4, metavar="N", help="ANN workers at the start.")
    ] = 2,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="D", help="Keep what it makes in D. Left out: a temporary directory."),
    ] = None,
    logs: Annotated[
        bool, typer.Option("--logs", help="Show the log lines of the processes.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """See it work: train, answer and scale, on a stack of its own, in under a minute.

    It starts NATS, Redis, REST, a gateway and workers on free ports of 127.0.0.1.
    Through REST and WebSockets only, as any client would, it shows five steps.

    \b
    1  creates a network for handwritten digits
    2  trains it on the live stream of a session
    3  asks it for digits it never saw, in eight sessions at once
    4  scales from 2 to 4 workers and back to 1 while recurrent sessions stream on
    5  tells the figures, and stops everything

    Exit code 0: all went as promised; 11 to 15: step 1 to 5 did not; 10: the start did not.

    [bold]Examples[/bold]

    \b
    direct-contact demo
    direct-contact demo --json | jq .accuracy
    direct-contact demo --data-dir demo-data --logs
    """  # noqa: D301  # typer keeps lines after a \b
    from launcher.demo.failing import DemoFailed

    last: deque[Line] = deque(maxlen=_LAST_LINES)
    console = Console()

    def output(line: Line) -> None:
        last.append(line)
        if logs:
            console(line)

    with explained(as_json=as_json), _directory(data_dir) as directory:
        options = StackOptions(data_dir=directory, port=0, stream_port=0, workers=workers)
        try:
            report = _run(options, output, as_json=as_json)
        except DemoFailed as failure:
            if not logs:
                for line in last:
                    console(line)
            if as_json:
                failed = {"step": failure.step, "code": failure.code, "message": failure.message}
                typer.echo(json.dumps({"error": failed}))
            else:
                typer.secho(f"The demo failed: {failure.message}", fg=typer.colors.RED, err=True)
            raise typer.Exit(failure.exit_code) from failure
        except asyncio.CancelledError:
            typer.echo("Interrupted; everything is stopped.", err=True)
            raise typer.Exit(INTERRUPTED) from None
    if as_json:
        typer.echo(json.dumps(report.as_json()))


def _run(options: StackOptions, output: Output, *, as_json: bool) -> Report:
    from launcher.demo.run import run_demo
    from launcher.demo.screen import SilentScreen, TerminalScreen

    screen = SilentScreen() if as_json else TerminalScreen()

    async def interruptible() -> Report:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(run_demo(options, screen, output), name="demo")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)
        return await task

    return asyncio.run(interruptible())


@contextlib.contextmanager
def _directory(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="direct-contact-") as temporary:
        yield Path(temporary)
