from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.scripted_stream import ScriptedStream, scripted_stream


@pytest.fixture
async def stream() -> AsyncIterator[ScriptedStream]:
    async with scripted_stream() as stream:
        yield stream
