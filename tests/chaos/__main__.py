"""`python -m tests.chaos`: faults on real processes, in a seeded order."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from tests.chaos.faults import KINDS
from tests.chaos.run import Run, run


def main() -> int:
    """Run it; the exit code is 1 when anything was not as promised."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=40, help="how many faults")
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--rate", type=float, default=25.0, help="inputs a second and session")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--gateways", type=int, default=2)
    parser.add_argument("--kinds", default=",".join(KINDS), help="which kinds of faults")
    parser.add_argument("--json", type=Path, help="write the report here too")
    parser.add_argument("--keep", type=Path, help="keep data and logs here")
    given = parser.parse_args()
    kinds = given.kinds.split(",")
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"--kinds: {', '.join(sorted(unknown))}: one of {', '.join(KINDS)} is needed")
    with tempfile.TemporaryDirectory(prefix="dc-chaos-") as fresh:
        report = asyncio.run(
            run(
                Run(
                    given.keep or Path(fresh),
                    seed=given.seed,
                    faults=given.kills,
                    sessions=given.sessions,
                    rate=given.rate,
                    workers=given.workers,
                    gateways=given.gateways,
                    kinds=kinds,
                    say=lambda line: print(line, flush=True),
                )
            )
        )
    print("\n".join(report.lines()))
    if given.json is not None:
        given.json.write_text(json.dumps(report.as_json(), indent=2) + "\n")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
