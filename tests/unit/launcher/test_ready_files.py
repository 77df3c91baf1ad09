"""When the ready files are there, and what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foundation.errors import InvalidInput
from launcher.supervisor.logs import Line
from launcher.supervisor.ready_files import ReadyFiles


class Told:
    """Ready files, the description that they are given, and the notes about them."""

    def __init__(self, own: Path, wanted: Path | None) -> None:
        self.description = {"workers": 1}
        self.notes: list[Line] = []
        self.files = ReadyFiles(
            own, wanted, describe=lambda: self.description, output=self.notes.append
        )


def test_ready_files_are_there_from_the_announcement_to_the_end(tmp_path: Path) -> None:
    own, wanted = tmp_path / "own.json", tmp_path / "wanted.json"
    wanted.write_text("of another run")
    told = Told(own, wanted)
    told.files.prepare()
    told.files.update()
    assert not own.exists()
    assert not wanted.exists()
    told.files.announce()
    assert json.loads(own.read_text()) == json.loads(wanted.read_text()) == {"workers": 1}
    told.description = {"workers": 2}
    told.files.update()
    assert json.loads(wanted.read_text()) == {"workers": 2}
    told.files.remove()
    assert not list(tmp_path.iterdir())


def test_ready_file_is_refused_when_its_directory_is_missing(tmp_path: Path) -> None:
    told = Told(tmp_path / "own.json", tmp_path / "missing" / "wanted.json")
    with pytest.raises(InvalidInput, match="there is no directory"):
        told.files.prepare()


def test_ready_files_are_noted_when_one_cannot_be_written(tmp_path: Path) -> None:
    own, wanted = tmp_path / "own.json", tmp_path / "gone" / "wanted.json"
    told = Told(own, wanted)
    told.files.announce()
    assert own.exists()
    (line,) = told.notes
    assert f"{wanted} cannot be written" in line.text
