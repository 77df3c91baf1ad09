"""`python -m benchmarks`: measure everything side by side, and show one table."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.options import RESULTS, ask_for_file, ask_for_modules, refuse_other_modules
from benchmarks.table import print_table
from benchmarks.works import WORKS, Context, Finding, Work
from benchmarks.works.work import measure

MAX_ROUNDS, MAX_SECONDS = 100, 60.0


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read and check the command line; exits with 2 when it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [work.name for work in WORKS]
    parser.add_argument(
        "--only", default="", metavar="NAME,…", help="these works: " + ", ".join(names)
    )
    parser.add_argument(
        "--who", default="", metavar="NAME,…", help="only these, as the table calls them"
    )
    parser.add_argument("--quick", action="store_true", help="3 short rounds: a first impression")
    parser.add_argument("--rounds", type=int, help="of each work (default 7)")
    parser.add_argument("--seconds", type=float, help="of each measurement (default 3)")
    parser.add_argument("--load-cpus", default="", metavar="N,…", help="pin the load generator")
    ask_for_file(parser, RESULTS / "run.json")
    parser.add_argument("--no-plots", action="store_true", help="write no PNG files")
    ask_for_modules(parser)
    options = parser.parse_args(given)
    refuse_other_modules(parser, options)
    options.works = _chosen(parser, options.only)
    options.who = frozenset(name.strip() for name in options.who.split(",") if name.strip())
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.seconds = options.seconds or (1.0 if options.quick else 3.0)
    if not 1 <= options.rounds <= MAX_ROUNDS:
        parser.error(f"--rounds must be 1 to {MAX_ROUNDS}, got {options.rounds}")
    if not 0.1 <= options.seconds <= MAX_SECONDS:
        parser.error(f"--seconds must be 0.1 to {MAX_SECONDS:g}, got {options.seconds:g}")
    try:
        options.load_cpus = tuple(int(cpu) for cpu in options.load_cpus.split(",") if cpu)
    except ValueError:
        parser.error(f"--load-cpus must be numbers, got {options.load_cpus!r}")
    return options


def _chosen(parser: argparse.ArgumentParser, only: str) -> list[Work]:
    by_name = {work.name: work for work in WORKS}
    wanted = [name for name in only.split(",") if name] or list(by_name)
    for name in wanted:
        if name not in by_name:
            parser.error(f"--only: there is no {name!r}; there are: {', '.join(by_name)}")
    return [by_name[name] for name in wanted]


async def run(options: argparse.Namespace) -> list[Finding]:
    """Measure the chosen works one after the other."""
    findings = []
    with tempfile.TemporaryDirectory(prefix="dc-bench-") as directory:
        for work in options.works:
            context = Context(
                directory=Path(directory) / work.name,
                rounds=options.rounds,
                measure_s=options.seconds,
                warm_s=min(0.5, options.seconds / 2),
                load_cpus=options.load_cpus,
                only=options.who,
                say=_say,
            )
            findings.append(await measure(work, context))
    _say("")
    return findings


def _say(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
    elif text:
        sys.stderr.write(text + "\n")


def main() -> int:
    """Measure, show, write."""
    options = arguments()
    findings = asyncio.run(run(options))
    print_table(findings)
    told: dict[str, Any] = {"rounds": options.rounds, "seconds": options.seconds}
    told["load_cpus"] = options.load_cpus
    results.write(options.json, findings, told)
    sys.stderr.write(f"wrote {options.json}\n")
    if not options.no_plots:
        _plot(findings)
    return 0


def _plot(findings: list[Finding]) -> None:
    try:
        from benchmarks import plots
    except ImportError:
        sys.stderr.write("no plots: matplotlib is not installed (the extra `bench`)\n")
        return
    for path in plots.write(RESULTS, findings):
        sys.stderr.write(f"wrote {path}\n")


if __name__ == "__main__":
    sys.exit(main())
