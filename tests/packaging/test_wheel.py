"""What is in the wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.packaging.conftest import INSTALL_TIMEOUT_S, ROOT

pytestmark = pytest.mark.timeout(INSTALL_TIMEOUT_S)

PACKAGES = (
    "protos", "foundation", "broker", "registry", "direct_contact", "ann_workers", "rest_api",
    "launcher",
)  # fmt: skip


@pytest.mark.parametrize(
    "pattern",
    [
        "protos/dc/**/*.proto",
        "registry/live/scripts/*.lua",
        "registry/records/migrations/**/*.py",
        "registry/records/migrations/*.mako",
        "launcher/demo/digits/*",
        "launcher/embedded/*.conf",
        "*/py.typed",
    ],
)
def test_wheel_holds_every_file_of_a_kind(contents: list[str], pattern: str) -> None:
    wanted = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
        if path.relative_to(ROOT).match(pattern.replace("/**", "")) or path in ROOT.glob(pattern)
    }
    assert wanted, pattern
    assert wanted <= set(contents)


def test_wheel_holds_the_generated_code_of_every_proto(contents: list[str]) -> None:
    protos = [name for name in contents if name.endswith(".proto")]
    assert len(protos) >= 3
    for proto in protos:
        for suffix in ("_pb2.py", "_pb2.pyi"):
            assert proto.removesuffix(".proto") + suffix in contents


def test_wheel_marks_every_package_as_typed(contents: list[str]) -> None:
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(contents)


def test_wheel_holds_our_packages_and_nothing_else(contents: list[str]) -> None:
    tops = {name.partition("/")[0] for name in contents}
    assert tops - set(PACKAGES) == {next(top for top in tops if top.endswith(".dist-info"))}
    assert not [name for name in contents if "__pycache__" in name]


def test_image_lacks_nothing_of_the_wheel_when_it_is_built_from_what_its_dockerfile_copies(
    contents: list[str], tmp_path: Path
) -> None:
    context = tmp_path / "context"
    context.mkdir()
    stage = re.split(r"^FROM ", (ROOT / "docker" / "Dockerfile").read_text(), flags=re.MULTILINE)[1]
    for sources in re.findall(r"^COPY (.+) \S+$", stage, re.MULTILINE):
        for source in sources.split():
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, context / source, ignore=ignored)
            else:
                shutil.copy(ROOT / source, context)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir",
         str(tmp_path / "wheels"), str(context)],
        capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with ZipFile(next((tmp_path / "wheels").glob("*.whl"))) as archive:
        assert set(contents) - set(archive.namelist()) == set()
