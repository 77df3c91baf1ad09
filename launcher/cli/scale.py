"""`direct-contact scale`: another number of workers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from foundation.errors import Unavailable
from launcher.cli.failing import explained
from launcher.cli.locate import RunningStack, locate
from launcher.cli.options import (
    DEFAULT_DATA_DIR,
    ApiKeyOption,
    DataDirOption,
    JsonOption,
    RestUrlOption,
)
from launcher.rest import Rest

_POLL_S = 0.1


def scale(
    replicas: Annotated[
        int, typer.Argument(min=0, max=256, metavar="N", help="How many workers there shall be.")
    ],
    pool: Annotated[str, typer.Option(metavar="NAME", help="The pool to scale.")] = "default",
    timeout: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long to wait; 0: do not wait.")
    ] = 60.0,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    rest_url: RestUrlOption = "",
    api_key: ApiKeyOption = "",
    as_json: JsonOption = False,
) -> None:
    """Set the number of ANN workers, and wait until they are that many.

    Workers that leave hand their sessions over first; clients notice a pause, no loss.

    [bold]Examples[/bold]

    \b
    direct-contact scale 4
    direct-contact scale 1 --data-dir /srv/direct-contact
    direct-contact scale 8 --rest-url https://dc.example.org --api-key $KEY --json
    """  # noqa: D301  # typer keeps lines after a \b
    with explained(as_json=as_json):
        stack = locate(data_dir, rest_url, api_key)
        if as_json:
            workers = asyncio.run(_scale(stack, pool, replicas, timeout, lambda _count: None))
            typer.echo(json.dumps({"pool": pool, "replicas": replicas, "workers": workers}))
            return
        workers = _with_progress(stack, pool, replicas, timeout)
        if timeout:
            names = ", ".join(worker["name"] for worker in workers) or "none"
            typer.echo(f"{len(workers)} of {replicas} workers: {names}")
        else:
            typer.echo(f"The pool {pool} shall have {replicas} workers.")


def _with_progress(
    stack: RunningStack, pool: str, replicas: int, timeout_s: float
) -> list[dict[str, Any]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("[bold]workers[/bold]"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("workers", total=max(replicas, 1))

        def show(count: int) -> None:
            progress.update(bar, total=max(replicas, count, 1), completed=count)

        return asyncio.run(_scale(stack, pool, replicas, timeout_s, show))


async def _scale(
    stack: RunningStack,
    pool: str,
    replicas: int,
    timeout_s: float,
    show: Callable[[int], None],
) -> list[dict[str, Any]]:
    deadline = time.monotonic() + timeout_s
    rest = Rest(stack.rest_url, stack.api_key)
    await rest.scale(pool, replicas)
    while True:
        workers = [worker for worker in await rest.workers() if worker["pool"] == pool]
        show(len(workers))
        if not timeout_s or _settled(workers, replicas):
            return workers
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the pool {pool} has {len(workers)} workers after {timeout_s:.0f} s, not "
                f"{replicas}: see `direct-contact status`, or wait longer with --timeout"
            )
        await asyncio.sleep(_POLL_S)


def _settled(workers: list[dict[str, Any]], replicas: int) -> bool:
    return len(workers) == replicas and all(worker["state"] == "ready" for worker in workers)
