"""`direct-contact up`: the stack in the foreground."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from launcher.cli.failing import explained
from launcher.cli.options import DEFAULT_DATA_DIR, DataDirOption, JsonOption
from launcher.embedded.ports import LOOPBACK
from launcher.supervisor import Console, DataDir, Role, Stack, StackOptions


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """The lowest level that is shown."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def _port(help_text: str) -> Any:
    return typer.Option(min=0, max=65535, metavar="N", help=help_text)


def up(
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=256,
            metavar="N",
            help="ANN workers. Left out: as many as last time, 2 in a new data directory.",
        ),
    ] = None,
    gateways: Annotated[
        int, typer.Option(min=1, max=64, metavar="N", help="Gateways, on ports in a row.")
    ] = 1,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where REST and the stream listen.")
    ] = LOOPBACK,
    port: Annotated[int, _port("REST's port; 0: any free one.")] = 8000,
    stream_port: Annotated[int, _port("The first gateway's port; 0: any free ones.")] = 8765,
    nats_port: Annotated[int, _port("The embedded NATS's; 0: any free one.")] = 0,
    redis_port: Annotated[int, _port("The embedded Redis's; 0: any free one.")] = 0,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            metavar="F", help="Write URLs, key and processes as JSON to F, always up to date."
        ),
    ] = None,
    log_format: Annotated[LogFormat, typer.Option(help="Log lines.")] = LogFormat.TEXT,
    log_level: Annotated[LogLevel, typer.Option(help="The least that is logged.")] = LogLevel.INFO,
    as_json: JsonOption = False,
) -> None:
    """Start the stack in the foreground: NATS, Redis, REST, gateways and workers.

    Ctrl-C stops it in order, with checkpoints of its sessions; a second Ctrl-C stops it at once.
    What it keeps is in the data directory and is there again at the next start.
    The admin key is shown once, at the first start.

    DC_NATS_URL, DC_REDIS_URL and DC_DATABASE_URL name existing servers to use instead.

    [bold]Examples[/bold]

    \b
    direct-contact up
    direct-contact up --workers 4 --gateways 2
    direct-contact up --port 0 --stream-port 0 --ready-file ready.json
    DC_NATS_URL=nats://10.0.0.5:4222 direct-contact up
    """  # noqa: D301  # typer keeps lines after a \b
    options = StackOptions(
        data_dir=data_dir,
        host=host,
        port=port,
        stream_port=stream_port,
        gateways=gateways,
        workers=workers,
        nats_port=nats_port,
        redis_port=redis_port,
        nats_url=os.environ.get("DC_NATS_URL", ""),
        redis_url=os.environ.get("DC_REDIS_URL", ""),
        database_url=os.environ.get("DC_DATABASE_URL", ""),
        ready_file=ready_file,
        log_format=log_format,
        log_level=log_level,
    )
    console = Console(log_format=log_format, level=log_level)
    announce = _announce_as_json if as_json else _announce
    with explained(as_json=as_json), DataDir(data_dir) as data:
        asyncio.run(_serve(Stack(options, data, console, on_ready=announce)))


async def _serve(stack: Stack) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stack.request_stop)
    await stack.run()


def _announce(stack: Stack) -> None:
    if stack.key_is_new:
        typer.echo(
            f"Admin API key, shown only this once (it is kept in {stack.data.path}/api_key): "
            f"{stack.api_key}"
        )
    workers = sum(process.role is Role.WORKER for process in stack.processes)
    typer.echo(
        f"Ready: REST {stack.rest_url} (its pages: {stack.rest_url}/docs), stream "
        f"{stack.stream_url}, {workers} worker{'' if workers == 1 else 's'}; Ctrl-C stops"
    )


def _announce_as_json(stack: Stack) -> None:
    typer.echo(json.dumps(stack.description()))
