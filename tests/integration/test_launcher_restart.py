"""What the data directory keeps: networks, keys and weights are there again, with real services."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from direct_contact.client import Client
from foundation.errors import InvalidInput
from launcher.demo.networks import RECURRENT
from launcher.supervisor import Line, Role, StackOptions, running

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("DC_")}


def ignore(_line: Line) -> None:
    pass


async def test_networks_keys_and_weights_are_there_again_when_the_stack_restarts(
    tmp_path: Path,
) -> None:
    options = StackOptions(
        data_dir=tmp_path / "data", port=0, stream_port=0, workers=1, environment=ENVIRONMENT
    )
    x = np.linspace(-1, 1, 8, dtype=np.float32)
    async with running(options, ignore) as stack, Client(stack.rest_url, stack.api_key) as client:
        await client.create_network(RECURRENT)
        weights = await client.get_weights("melody", 1)
        await client.put_weights("melody", 1, weights)
        user = await client.create_key("somebody", "user")
        async with client.session("melody", version=1) as session:
            before = await session.infer(x)
        await client.scale("default", 3)

    async with running(replace(options, workers=None), ignore) as stack:
        assert sum(process.role is Role.WORKER for process in stack.processes) == 3
        async with Client(stack.rest_url, user.key) as client:
            assert [version.version for version in await client.versions("melody")] == [2, 1]
            assert await client.get_weights("melody", 2) == weights
            async with client.session("melody", version=2) as session:
                np.testing.assert_array_equal(await session.infer(x), before)


async def test_start_names_the_key_when_the_records_do_not_know_it(tmp_path: Path) -> None:
    options = StackOptions(
        data_dir=tmp_path / "one", port=0, stream_port=0, workers=1, environment=ENVIRONMENT
    )
    async with running(options, ignore) as stack:
        key = stack.api_key
        records = f"sqlite+aiosqlite:///{stack.data.records}"
    other = replace(options, data_dir=tmp_path / "two", database_url=records)
    with pytest.raises(InvalidInput, match=r"records at sqlite.* do not know .*DC_REST_ADMIN_KEY"):
        async with running(other, ignore):
            pass
    given = replace(other, environment={**ENVIRONMENT, "DC_REST_ADMIN_KEY": key})
    async with running(given, ignore) as stack:
        assert stack.api_key == key
