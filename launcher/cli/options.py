"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_DATA_DIR = Path(".direct-contact")

DataDirOption = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        metavar="D",
        help="The stack's directory: records, weights, sessions, the admin key.",
        envvar="DC_DATA_DIR",
    ),
]
RestUrlOption = Annotated[
    str,
    typer.Option(
        "--rest-url",
        metavar="URL",
        help="A stack anywhere, instead of the one of --data-dir; needs --api-key.",
        envvar="DC_REST_URL",
    ),
]
ApiKeyOption = Annotated[
    str,
    typer.Option(
        "--api-key",
        metavar="KEY",
        help="The key for --rest-url.",
        envvar="DC_API_KEY",
        show_envvar=True,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
