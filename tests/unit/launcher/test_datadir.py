from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from launcher.supervisor import DataDir, DataDirLocked, DataDirUnusable, launcher_of


def test_datadir_names_the_holder_when_it_is_locked(tmp_path: Path) -> None:
    with DataDir(tmp_path / "d"), pytest.raises(DataDirLocked, match=f"pid {os.getpid()}"):
        DataDir(tmp_path / "d").__enter__()


def test_datadir_can_be_locked_again_when_it_was_left(tmp_path: Path) -> None:
    for _ in range(2):
        with DataDir(tmp_path / "d"):
            assert launcher_of(tmp_path / "d") == os.getpid()
    assert launcher_of(tmp_path / "d") is None
    assert launcher_of(tmp_path / "never-made") is None


def test_datadir_tells_the_option_when_it_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirUnusable, match=r"--data-dir .*file/d cannot be used: Not a dir"):
        DataDir(tmp_path / "file" / "d").__enter__()


def test_datadir_tells_the_option_when_it_is_unwritable() -> None:
    # Not even root makes directories there.
    with pytest.raises(DataDirUnusable, match="--data-dir /proc/dc cannot be used"):
        DataDir(Path("/proc/dc")).__enter__()


def test_api_key_is_private_and_stays_when_the_directory_is_opened_again(tmp_path: Path) -> None:
    with DataDir(tmp_path) as data:
        key, new = data.api_key()
    assert new
    assert re.fullmatch(r"dck_[a-z2-7]{8}_[A-Za-z0-9_-]{43}", key)
    assert (tmp_path / "api_key").stat().st_mode & 0o777 == 0o600
    with DataDir(tmp_path) as data:
        assert data.api_key() == (key, False)


def test_api_key_is_not_made_anew_when_the_records_know_another(tmp_path: Path) -> None:
    with DataDir(tmp_path) as data:
        data.records.touch()
        with pytest.raises(DataDirUnusable, match=r"records but no api_key.*DC_REST_ADMIN_KEY"):
            data.api_key()
        assert not (tmp_path / "api_key").exists()


def test_datadir_forgets_ready_files_when_a_killed_launcher_left_them(tmp_path: Path) -> None:
    (tmp_path / "ready.json").write_text("{}")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "rest-api.json").write_text("{}")
    with DataDir(tmp_path) as data:
        assert not data.ready_file.exists()
        assert not list(data.run.iterdir())


def test_datadir_knows_the_number_of_workers_when_it_was_told(tmp_path: Path) -> None:
    with DataDir(tmp_path) as data:
        assert data.last_workers() is None
        data.remember_workers(3)
    with DataDir(tmp_path) as data:
        assert data.last_workers() == 3


@pytest.mark.parametrize("text", ["", "many", "-1", "100000"])
def test_datadir_knows_no_number_of_workers_when_its_file_is_damaged(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "workers").write_text(text)
    assert DataDir(tmp_path).last_workers() is None
