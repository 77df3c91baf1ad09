"""Bars of medians with their quartiles, one PNG for each work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.works.work import Finding

OURS, THEIRS = "#1f6feb", "#9aa4b2"


def write(directory: Path, findings: Sequence[Finding]) -> Iterator[Path]:
    """Write the plots; yields their paths."""
    mpl.use("Agg")
    directory.mkdir(parents=True, exist_ok=True)
    for finding in findings:
        if finding.samples:
            path = directory / f"{finding.work.name}.png"
            _bars(finding).savefig(path, dpi=120)
            yield path


def _bars(finding: Finding) -> Figure:
    summaries = finding.summaries()
    shown = [name for name in finding.work.shown if any(name == of for _, of in summaries)]
    drawing = Figure(figsize=(4.2 * len(shown), 1.2 + 0.42 * len(finding.samples)))
    drawing.suptitle(finding.work.title, fontsize=10)
    for index, name in enumerate(shown):
        axes = drawing.add_subplot(1, len(shown), index + 1)
        who = [one for one in reversed(finding.samples) if (one, name) in summaries]
        medians = [summaries[one, name].median for one in who]
        below = [summaries[one, name].median - summaries[one, name].low for one in who]
        above = [summaries[one, name].high - summaries[one, name].median for one in who]
        colours = [OURS if one.startswith("ours") else THEIRS for one in who]
        axes.barh(who, medians, xerr=[below, above], color=colours, ecolor="#444", capsize=2)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel(name, fontsize=9)
        axes.tick_params(labelsize=8, labelleft=index == 0)
        axes.spines[["top", "right"]].set_visible(False)
    drawing.tight_layout()
    return drawing
