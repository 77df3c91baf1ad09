"""`python -m benchmarks.peers`: the same work by other servers, beside ours and the chain."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import results
from benchmarks.measuring import Shape, put_load, random_payload, values_of
from benchmarks.options import RESULTS, ask_for_file, ask_for_modules, refuse_other_modules
from benchmarks.peers.catalogue import PEERS, Peer
from benchmarks.peers.environments import NotInstalled, install
from benchmarks.peers.running import measure_peer
from benchmarks.references.computing import Network
from benchmarks.statistics import Goal
from benchmarks.table import print_table
from benchmarks.targets import chain, ours
from benchmarks.works.networks import FEATURES, SMALL
from benchmarks.works.work import BROKER, CHAIN, Context, Finding, Variant, Work, measure

TIMES_THE_BEST = 9.0
SESSIONS, OUTSTANDING = 16, 16
ATTEMPTS = 6
"""Triton's Python backend dies under this load in every other measurement."""


def _work(peers: Sequence[Peer]) -> Work:
    payload = random_payload(FEATURES)
    values = values_of(payload)
    network = Network(SMALL)
    expected = network.compute(values)[:16].tolist()

    @contextlib.asynccontextmanager
    async def prepare(context: Context) -> AsyncIterator[Sequence[Variant]]:
        shape = Shape(
            sessions=SESSIONS,
            outstanding=OUTSTANDING,
            warm_s=context.warm_s,
            measure_s=context.measure_s,
        )
        weight = context.directory / "weight.npy"
        np.save(weight, network.weights[0])
        async with contextlib.AsyncExitStack() as opened:
            stack = await opened.enter_async_context(ours(context.directory / "ours", SMALL))
            by_hand = await opened.enter_async_context(
                chain(context.directory / "chain", spec=SMALL)
            )
            variants = [
                Variant(name, partial(put_load, target, shape, payload, expected))
                for name, target in (
                    (BROKER, stack.target(BROKER, SMALL["name"])),
                    (CHAIN, by_hand),
                )
            ]
            variants += [
                Variant(
                    peer.title,
                    partial(
                        measure_peer,
                        peer,
                        context.directory / peer.name,
                        shape,
                        weight=weight,
                        values=values.tobytes(),
                        expected=expected,
                    ),
                    ATTEMPTS,
                )
                for peer in peers
            ]
            yield variants

    return Work(
        "peers",
        f"64 float32, tanh(x @ W), {SESSIONS} sessions × {OUTSTANDING} outstanding",
        ("answers/s", "p50 ms", "server µs"),
        prepare,
        base=CHAIN,
    )


def with_goals(finding: Finding, peers: Sequence[Peer]) -> Finding:
    """Judge against the best peer, now that it is known."""
    figures = finding.summaries()
    serving = [p.title for p in peers if p.serving and (p.title, "answers/s") in figures]
    if not serving:
        return finding
    best = max(serving, key=lambda title: figures[title, "answers/s"].median)
    goal = Goal("answers/s", BROKER, ">=", TIMES_THE_BEST, best)
    return replace(finding, work=replace(finding.work, goals=(goal,)))


async def run(options: argparse.Namespace) -> Finding:
    """Install what is missing, then measure."""
    skipped = {}
    installed = []
    for peer in options.peers:
        sys.stderr.write(f"{peer.name}: installing into .venv-peers, unless it is there\n")
        try:
            await install(peer)
            installed.append(peer)
        except NotInstalled as error:
            skipped[peer.title] = str(error)
    with tempfile.TemporaryDirectory(prefix="dc-bench-") as directory:
        context = Context(
            directory=Path(directory),
            rounds=options.rounds,
            measure_s=options.seconds,
            warm_s=1.0,
            say=lambda text: print(text, file=sys.stderr),
        )
        finding = await measure(_work(installed), context)
    finding.skipped = {**skipped, **finding.skipped}
    return with_goals(finding, installed)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read and check the command line; exits with 2 when it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    names = [peer.name for peer in PEERS]
    parser.add_argument(
        "--only", default="", metavar="NAME,…", help="these peers: " + ", ".join(names)
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    ask_for_file(parser, RESULTS / "peers.json")
    ask_for_modules(parser)
    options = parser.parse_args(given)
    refuse_other_modules(parser, options)
    wanted = [name for name in options.only.split(",") if name] or names
    for name in wanted:
        if name not in names:
            parser.error(f"--only: there is no {name!r}; there are: {', '.join(names)}")
    options.peers = [peer for peer in PEERS if peer.name in wanted]
    if not 1 <= options.rounds <= 100 or not 0.1 <= options.seconds <= 60:
        parser.error("--rounds must be 1 to 100, --seconds 0.1 to 60")
    return options


def main() -> int:
    """Measure, show, write."""
    options = arguments()
    finding = asyncio.run(run(options))
    print_table([finding])
    told = {"rounds": options.rounds, "seconds": options.seconds}
    results.write(options.json, [finding], told)
    sys.stderr.write(f"wrote {options.json}\n")
    with contextlib.suppress(ImportError):
        from benchmarks import plots

        for path in plots.write(RESULTS, [finding]):
            sys.stderr.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
