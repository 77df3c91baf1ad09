"""Backends are found by their entry point."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from ann_workers.backends import registry
from ann_workers.backends.registry import find_backend, known_backends
from foundation.errors import NotFound, Unavailable


def test_backend_is_found_when_its_entry_point_is_installed() -> None:
    assert find_backend("numpy").name == "numpy"
    assert "numpy" in known_backends()


def test_backend_error_names_the_known_ones_when_it_is_unknown() -> None:
    with pytest.raises(NotFound, match=r"no backend 'abacus' is installed; known are: .*numpy"):
        find_backend("abacus")


def test_backend_error_tells_why_when_it_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = EntryPoint("broken", "no_such_package:Backend", registry.GROUP)
    monkeypatch.setattr(
        registry, "entry_points", lambda **select: EntryPoints([broken]).select(**select)
    )
    with pytest.raises(Unavailable, match="no_such_package"):
        find_backend("broken")
