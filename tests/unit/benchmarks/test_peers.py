from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.measuring import Sample
from benchmarks.peers.__main__ import arguments, with_goals
from benchmarks.peers.catalogue import PEERS
from benchmarks.works.work import BROKER, Finding, Work

ROOT = Path(__file__).parents[3]


def module_file(module: str) -> Path:
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_peer_names_files_that_exist_when_it_is_started(peer: object) -> None:
    assert isinstance(peer, type(PEERS[0]))
    modules = [part.partition(":")[0] for part in peer.command if part.startswith("benchmarks.")]
    modules += peer.client.split()[:1]
    assert all(module_file(module).exists() for module in modules)


def test_goal_names_the_best_serving_peer_when_all_are_measured() -> None:
    bare, first, second = PEERS[:3]
    assert not bare.serving
    rates = {BROKER: 40_000.0, bare.title: 9_000.0, first.title: 4_000.0, second.title: 2_000.0}
    work = Work("peers", "peers", ("answers/s",), lambda _context: None)  # type: ignore[arg-type,return-value]
    samples = {who: [Sample({"answers/s": rate})] for who, rate in rates.items()}
    (judged,) = with_goals(Finding(work, samples), PEERS).judged()
    assert judged.goal.reference == first.title
    assert judged.value == 10.0
    assert judged.verdict == "met"


def test_arguments_are_refused_when_a_peer_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert [peer.name for peer in arguments(["--only", "ray"]).peers] == ["ray"]
    with pytest.raises(SystemExit):
        arguments(["--only", "nobody"])
    assert "there is no 'nobody'" in capsys.readouterr().err
