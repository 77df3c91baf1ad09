"""A stack as `direct-contact up` starts it, for what the documents say of one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from launcher.supervisor import Line, Stack, StackOptions, running


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """The real services on free ports."""
    lines: list[Line] = []
    options = StackOptions(
        data_dir=tmp_path / "data",
        port=0,
        stream_port=0,
        workers=1,
        environment={name: v for name, v in os.environ.items() if not name.startswith("DC_")},
    )
    async with running(options, lines.append) as started:
        yield started
