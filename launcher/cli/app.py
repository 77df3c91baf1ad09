"""The command and what belongs to it."""

from __future__ import annotations

import typer

from launcher.cli.demo import demo
from launcher.cli.down import down
from launcher.cli.scale import scale
from launcher.cli.status import status
from launcher.cli.up import up

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Live neural-network sessions on one machine.\n\n"
        "[bold]First steps[/bold]\n\n"
        "\b\n"
        "direct-contact demo       see it train, answer and scale in a minute\n"
        "direct-contact up         run the stack here until Ctrl-C\n"
        "direct-contact status     what runs, and who is connected\n"
        "direct-contact scale 4    another number of workers, live"
    ),
)
for command in (up, demo, scale, status, down):
    app.command()(command)
