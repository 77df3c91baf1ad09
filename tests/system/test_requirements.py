"""A machine that lacks something is told how to get it; where CI=true, it fails."""

from __future__ import annotations

import pytest

from tests.support.requirements import program

TOLD = "no-such-program is missing: apt-get install no-such-package"


@pytest.mark.parametrize(
    ("value", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_test_tells_how_to_install_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, value: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", value)
    with pytest.raises(outcome, match=TOLD):
        program("no-such-program", install="apt-get install no-such-package")
