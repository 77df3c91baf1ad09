"""`direct-contact status`: what runs, and who is connected."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import typer

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

_PROCESSES = ("role", "name", "pid")
_WORKERS = ("name", "pool", "state", "sessions", "capacity", "host", "pid", "endpoint")
_SESSIONS = ("id", "network", "version", "state", "worker")
_SHOWN_SESSIONS = 30


def status(
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    rest_url: RestUrlOption = "",
    api_key: ApiKeyOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show the processes, the workers and the sessions of a running stack.

    Processes are known for a stack of this machine, found by its data directory.

    [bold]Examples[/bold]

    \b
    direct-contact status
    direct-contact status --json | jq '.workers[].name'
    direct-contact status --rest-url https://dc.example.org --api-key $KEY
    """  # noqa: D301  # typer keeps lines after a \b
    with explained(as_json=as_json):
        stack = locate(data_dir, rest_url, api_key)
        found = asyncio.run(_ask(stack))
    if as_json:
        typer.echo(json.dumps(found))
    else:
        _show(found)


async def _ask(stack: RunningStack) -> dict[str, Any]:
    rest = Rest(stack.rest_url, stack.api_key)
    pool, workers, sessions = await asyncio.gather(
        rest.pool("default"), rest.workers(), rest.sessions()
    )
    return {
        "rest_url": stack.rest_url,
        "stream_url": stack.stream_url,
        "data_dir": stack.data_dir,
        "pool": pool,
        "processes": list(stack.processes),
        "workers": workers,
        "sessions": sessions,
    }


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console()
    console.print(f"REST {found['rest_url']}", found["stream_url"], found["data_dir"], sep="   ")
    if found["processes"]:
        console.print(_table("Processes", _PROCESSES, found["processes"]))
    wanted = found["pool"].get("replicas")
    console.print(_table(f"Workers ({wanted} wanted)", _WORKERS, found["workers"]))
    sessions = found["sessions"]
    console.print(_table(f"Sessions ({len(sessions)})", _SESSIONS, sessions[:_SHOWN_SESSIONS]))
    if len(sessions) > _SHOWN_SESSIONS:
        console.print(f"… and {len(sessions) - _SHOWN_SESSIONS} more; --json shows all")


def _table(title: str, columns: Iterable[str], rows: Iterable[dict[str, Any]]) -> Any:
    from rich import box
    from rich.table import Table

    rows = list(rows)
    # A column that no row has tells nothing.
    shown = [name for name in columns if not rows or any(row.get(name) is not None for row in rows)]
    table = Table(*shown, title=title, title_justify="left", box=box.SIMPLE)
    for row in rows:
        table.add_row(*("" if row.get(name) is None else str(row[name]) for name in shown))
    return table
