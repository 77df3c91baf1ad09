"""`direct-contact down`: stop a stack from another terminal."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from typing import Annotated

import typer

from foundation.errors import NotFound, Unavailable
from launcher.cli.failing import explained
from launcher.cli.options import DEFAULT_DATA_DIR, DataDirOption, JsonOption
from launcher.supervisor.datadir import launcher_of

_POLL_S = 0.05


def down(
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    timeout: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for its end.")
    ] = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Stop the stack that runs on a data directory, in order, as Ctrl-C in its terminal does.

    [bold]Examples[/bold]

    \b
    direct-contact down
    direct-contact down --data-dir /srv/direct-contact
    """  # noqa: D301  # typer keeps lines after a \b
    with explained(as_json=as_json):
        pid = launcher_of(data_dir)
        if pid is None:
            raise NotFound(f"no stack runs on --data-dir {data_dir}")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + timeout
        while launcher_of(data_dir) == pid:
            if time.monotonic() > deadline:
                raise Unavailable(f"the launcher (pid {pid}) still runs after {timeout:.0f} s")
            time.sleep(_POLL_S)
    typer.echo(json.dumps({"stopped": pid}) if as_json else f"Stopped (launcher pid {pid}).")
