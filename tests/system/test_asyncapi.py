"""docs/asyncapi.yaml passes the official parser, its protobuf schemas included."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.requirements import missing, program

DOCUMENT = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"
PACKAGES = ("@asyncapi/parser@3.6.3", "@asyncapi/protobuf-schema-parser@3.9.0")
CHECK = """
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";
import { ProtoBuffSchemaParser } from "@asyncapi/protobuf-schema-parser";

const parser = new Parser();
parser.registerSchemaParser(ProtoBuffSchemaParser());
const { document, diagnostics } = await parser.parse(readFileSync(process.argv[2], "utf8"));
const frames = document ? document.operations().all().map((operation) => ({
  action: operation.action(),
  channel: operation.channels().all()[0].address(),
  message: operation.messages().all()[0].name(),
  fields: Object.keys(operation.messages().all()[0].payload().properties()),
})) : [];
console.log(JSON.stringify({ diagnostics, frames }));
"""


@pytest.fixture(scope="module")
def parser(pytestconfig: pytest.Config) -> Path:
    """A folder where Node finds the parser; installed once, and kept in pytest's cache."""
    npm = program("npm", install="apt-get install npm")
    folder = Path(pytestconfig.cache.mkdir("asyncapi"))
    (folder / "check.mjs").write_text(CHECK)
    wanted = "\n".join(PACKAGES)
    installed = folder / "installed"
    if not installed.exists() or installed.read_text() != wanted:
        (folder / "package.json").write_text('{"private": true}\n')
        command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", *PACKAGES]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=110, check=False
        )
        if done.returncode:
            missing("the parser", install=f"{' '.join(command)}: {done.stderr[-500:]}")
        installed.write_text(wanted)
    return folder


@pytest.fixture(scope="module")
def parsed(parser: Path) -> dict[str, Any]:
    node = program("node", install="apt-get install nodejs")
    done = subprocess.run(
        [node, "check.mjs", str(DOCUMENT)],
        cwd=parser, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_document_is_valid_without_warnings(parsed: dict[str, Any]) -> None:
    problems = [
        f"{'.'.join(map(str, one['path']))}: {one['message']}"
        for one in parsed["diagnostics"]
        if one["severity"] < 2  # 2 and 3 are information and hints, such as of newer versions
    ]
    assert not problems


def test_operations_carry_the_frames_in_both_directions(parsed: dict[str, Any]) -> None:
    frames = {one["action"]: one for one in parsed["frames"]}
    assert {one["channel"] for one in frames.values()} == {"/v1/stream"}
    assert frames["receive"]["message"] == "ClientFrame"
    assert frames["receive"]["fields"][:2] == ["inputs", "hello"]
    assert frames["send"]["message"] == "ServerFrame"
    assert "command_result" in frames["send"]["fields"]
