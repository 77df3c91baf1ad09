from __future__ import annotations

import pytest

from benchmarks.__main__ import arguments
from benchmarks.options import RESULTS
from foundation.modules import COMPILED, modules

OTHERS = "pure" if modules() == COMPILED else "compiled"


def test_arguments_choose_every_work_when_none_is_named() -> None:
    options = arguments([])
    assert [work.name for work in options.works][:2] == ["small", "unary"]
    assert (options.rounds, options.seconds) == (7, 3.0)
    assert options.json == RESULTS / "run.json"


def test_arguments_shorten_when_it_has_to_be_quick() -> None:
    options = arguments(["--quick", "--only", "unary", "--rounds", "5", "--load-cpus", "0,1"])
    assert [work.name for work in options.works] == ["unary"]
    assert (options.rounds, options.seconds) == (5, 1.0)
    assert options.load_cpus == (0, 1)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["--only", "nothing"], "there is no 'nothing'"),
        (["--rounds", "101"], "--rounds must be 1 to 100, got 101"),
        (["--seconds", "0.01"], "--seconds must be 0.1 to 60, got 0.01"),
        (["--modules", OTHERS], f"{OTHERS} ones were asked for, these are {modules()}"),
        (["--load-cpus", "x"], "--load-cpus must be numbers, got 'x'"),
    ],
)
def test_arguments_are_refused_when_they_make_no_sense(
    given: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        arguments(given)
    assert stopped.value.code == 2
    assert complaint in capsys.readouterr().err
