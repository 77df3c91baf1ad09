"""How a command ends when something is wrong: one clear message, exit code 1."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import typer

from foundation.errors import DirectContactError


@contextlib.contextmanager
def explained(*, as_json: bool) -> Iterator[None]:
    """Turn an error of ours into a message and exit code 1."""
    try:
        yield
    except DirectContactError as error:
        if as_json:
            typer.echo(json.dumps({"error": {"code": error.code, "message": error.message}}))
        else:
            typer.secho(f"direct-contact: {error.message}", fg=typer.colors.RED, err=True)
        raise typer.Exit(1) from None
