"""What may stand in a module that is compiled. docs/adr/0020-a-compiled-frame-path.md"""

from __future__ import annotations

import ast
import tomllib

import pytest

from tests.packaging.conftest import ROOT

HATCH = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]
HOOK = HATCH["build"]["targets"]["wheel"]["hooks"]["custom"]


@pytest.mark.parametrize("path", HOOK["modules"])
def test_module_has_no_coroutines_or_generators_when_it_is_compiled(path: str) -> None:
    suspending = (ast.AsyncFunctionDef, ast.Yield, ast.YieldFrom)
    module = ast.parse((ROOT / path).read_text())
    found = [node.lineno for node in ast.walk(module) if isinstance(node, suspending)]
    assert found == []


def test_wheel_is_pure_python_when_nobody_asks_for_more(contents: list[str]) -> None:
    assert not HOOK["enable-by-default"]
    assert not [name for name in contents if name.endswith((".so", ".pyd"))]
    assert set(HOOK["modules"]) <= set(contents)
