"""Options that both commands have, `benchmarks` and `benchmarks.peers`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from foundation.modules import COMPILED, modules

RESULTS: Final = Path(__file__).parent / "results"


def ask_for_file(parser: argparse.ArgumentParser, default: Path) -> None:
    """The option that tells where everything measured is written."""
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        default=default,
        help="write everything measured here (default %(default)s)",
    )


def ask_for_modules(parser: argparse.ArgumentParser) -> None:
    """The option by which a caller makes sure of what is measured."""
    parser.add_argument(
        "--modules", choices=("compiled", "pure"), help="measure nothing where ours are others"
    )


def refuse_other_modules(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Exits with 2 when the modules that this process runs are not those that were asked for."""
    if options.modules and (options.modules == "compiled") != (modules() == COMPILED):
        parser.error(f"--modules: {options.modules} ones were asked for, these are {modules()}")
