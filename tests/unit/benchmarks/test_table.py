from __future__ import annotations

import io
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.measuring import LoadFailed, Sample
from benchmarks.results import as_json
from benchmarks.statistics import Goal
from benchmarks.table import render
from benchmarks.works.work import Context, Variant, Work, measure


def work_of(*variants: Variant) -> Work:
    @asynccontextmanager
    async def prepare(_context: Context) -> Any:
        yield variants

    goals = (
        Goal("answers/s", "ours", ">=", 2.0, "chain"),
        Goal("answers/s", "gone", ">=", 1.0, "chain"),
    )
    return Work("test", "a test", ("answers/s",), prepare, goals)


async def test_measure_interleaves_when_there_are_several_variants(tmp_path: Path) -> None:
    order: list[str] = []

    def variant(name: str, rate: float) -> Variant:
        async def one() -> Sample:
            order.append(name)
            if not rate:
                raise LoadFailed("it has no door")
            return Sample({"answers/s": rate + len(order)}, {"server": 2.0})

        return Variant(name, one)

    work = work_of(variant("ours", 3000), variant("chain", 1000), variant("gone", 0))
    finding = await measure(work, Context(tmp_path / "w", rounds=3, measure_s=1, warm_s=0))
    assert order == ["ours", "chain", "gone", "gone", "ours", "chain", "ours", "chain"]
    assert finding.skipped == {"gone": "it has no door"}
    assert [judged.verdict for judged in finding.judged()] == ["met", "not measured"]
    assert finding.server_us("ours") == {"server": 2.0}

    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render([finding]))
    text = console.export_text()
    assert "3,005 answers/s" in text
    assert "answers/s 2.99 × chain (≥ 2) met" in text  # noqa: RUF001
    assert "not measured: it has no door" in text

    told = as_json([finding], {"rounds": 3})["works"][0]
    assert told["variants"]["ours"]["figures"]["answers/s"]["values"] == (3001.0, 3005.0, 3007.0)
    assert told["goals"][0]["verdict"] == "met"


async def test_measure_repeats_a_variant_that_fails_now_and_then_when_it_may(
    tmp_path: Path,
) -> None:
    outcomes = iter([False, False, True, True, False, True])

    async def shaky() -> Sample:
        if next(outcomes):
            return Sample({"answers/s": 5.0})
        raise LoadFailed("the server ended")

    work = work_of(Variant("ours", shaky, attempts=3))
    finding = await measure(work, Context(tmp_path / "w", rounds=3, measure_s=1, warm_s=0))
    assert len(finding.samples["ours"]) == 3
    assert not finding.skipped
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render([finding]))
    assert "3 measurements failed, repeated" in console.export_text()
    assert as_json([finding], {})["works"][0]["failed"] == {"ours": 3}
