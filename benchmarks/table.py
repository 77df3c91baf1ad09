"""The one table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.statistics import Judged, Summary
from benchmarks.works.work import Finding
from foundation.modules import modules

REASON_CHARS = 160
NOISE = 0.1
"""Other processes that used more of a core than this disturbed a measurement."""


def number(value: float) -> str:
    """Three digits or more, with thousands set apart."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def figure(name: str, summary: Summary) -> str:
    """A median with its quartiles."""
    return (
        f"{number(summary.median)} {name} [dim]{number(summary.low)}–{number(summary.high)}[/dim]"
    )


def render(findings: Sequence[Finding]) -> Table:
    """One row for each server of each work; its goals beside it."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_lines=False)
    table.add_column("work", min_width=24)
    table.add_column("median, and quartiles of the rounds", min_width=38, max_width=52)
    table.add_column("server CPU, µs an answer", min_width=24)
    table.add_column("load gen.", justify="right")
    table.add_column("goals", min_width=30)
    for finding in findings:
        rounds = max((len(s) for s in finding.samples.values()), default=0)
        table.add_row(Text(finding.work.title, style="bold"), f"[dim]{rounds} rounds[/dim]")
        goals: dict[str, list[str]] = {}
        for judged in finding.judged():
            goals.setdefault(judged.goal.who, []).append(_judged(judged))
        summaries = finding.summaries()
        for who in dict.fromkeys([*finding.samples, *goals]):
            figures = [
                figure(name, summaries[who, name])
                for name in finding.work.shown
                if (who, name) in summaries
            ]
            table.add_row(
                f"  {who}{_failed(finding, who)}",
                "\n".join(figures),
                _by_process(finding.server_us(who)),
                _generator(summaries, who),
                "\n".join([*_multiple(finding, summaries, who), *goals.get(who, [])]),
            )
        for who, reason in finding.skipped.items():
            why = Text(f"not measured: {' '.join(reason.split())[:REASON_CHARS]}", style="dim")
            why.no_wrap = False
            table.add_row(f"  [dim]{who}[/dim]", why)
        table.add_section()
    return table


def print_table(findings: Sequence[Finding]) -> None:
    """Show it, with what one has to know to read it."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=180)
    console.print(render(findings))
    shares = [
        summary.median
        for finding in findings
        for (_, name), summary in finding.summaries().items()
        if name == "others share"
    ]
    worst = max(shares, default=0.0)
    console.print(f"modules of ours: {modules()}.", style="dim")
    console.print(
        "load gen.: the share of one core that the load generator used; below 100 % it waited "
        "for the server, so it was not the bottleneck.",
        style="dim",
    )
    if worst > NOISE:
        console.print(
            f"Other processes used up to {worst:.0%} of a core (median of a server's rounds): "
            "repeat on a quiet machine.",
            style="yellow",
        )


def _multiple(finding: Finding, summaries: dict[tuple[str, str], Summary], who: str) -> list[str]:
    """The first figure beside that of the base."""
    base, name = finding.work.base, finding.work.shown[0]
    mine, theirs = summaries.get((who, name)), summaries.get((base, name))
    if who == base or mine is None or theirs is None or not theirs.median:
        return []
    return [f"[dim]{name}: {mine.median / theirs.median:.3g} × {base}[/dim]"]


def _failed(finding: Finding, who: str) -> str:
    """That a server did not bear the load each time."""
    count = finding.failed[who]
    return f"\n  [dim]{count} measurements failed, repeated[/dim]" if count else ""


def _judged(judged: Judged) -> str:
    colour = {True: "green", False: "red", None: "yellow"}[judged.met]
    return f"{judged.text} [{colour}]{judged.verdict}[/{colour}]"


def _by_process(costs: dict[str, float]) -> str:
    shown = {role: us for role, us in costs.items() if us >= 0.05}
    if not shown:
        return ""
    parts = " + ".join(f"{role} {us:.1f}" for role, us in shown.items())
    return f"{parts} = {sum(costs.values()):.1f}" if len(shown) > 1 else parts


def _generator(summaries: dict[tuple[str, str], Summary], who: str) -> str:
    share = summaries.get((who, "generator share"))
    return "" if share is None else f"{share.median:.0%}"
