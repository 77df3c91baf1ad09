"""The supervisor with real NATS and Redis, and stand-ins for the services."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from foundation.errors import Unavailable
from launcher.rest import Rest
from launcher.supervisor import (
    Line,
    Role,
    Stack,
    StackOptions,
    StartFailed,
    fleet,
    running,
    servers,
)
from tests.support.conditions import until
from tests.support.standin_launcher import STANDINS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def options(tmp_path: Path) -> StackOptions:
    state = tmp_path / "state"
    state.mkdir()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DC_")}
    return StackOptions(
        data_dir=tmp_path / "data",
        port=0,
        stream_port=0,
        workers=2,
        ready_file=tmp_path / "ready.json",
        modules=STANDINS,
        environment={**inherited, "PYTHONPATH": str(ROOT), "STANDIN_DIR": str(state)},
    )


def said(options: StackOptions) -> dict[str, object]:
    assert options.ready_file is not None
    found: dict[str, object] = json.loads(options.ready_file.read_text())
    return found


def pids(stack: Stack, role: Role) -> set[int]:
    return {p["pid"] for p in stack.description()["processes"] if p["role"] == role}


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ignore(_line: Line) -> None:
    pass


async def test_stack_writes_the_ready_file_when_everything_is_ready(options: StackOptions) -> None:
    async with running(options, ignore) as stack:
        found = said(options)
        assert set(found) == {"rest_url", "stream_url", "api_key", "data_dir", "processes"}
        assert found == stack.description()
        assert found == json.loads((options.data_dir / "ready.json").read_text())
        roles = [process["role"] for process in found["processes"]]  # type: ignore[attr-defined]
        assert roles == [
            "nats", "redis", "rest_api", "direct_contact", "ann_worker", "ann_worker",
        ]  # fmt: skip
        assert all(alive(process["pid"]) for process in stack.description()["processes"])
        everyone = [process["pid"] for process in stack.description()["processes"]]
    assert not any(map(alive, everyone))
    assert options.ready_file is not None
    assert not options.ready_file.exists()


@pytest.mark.parametrize("role", list(Role))
async def test_process_is_started_again_under_its_role_when_it_is_killed(
    options: StackOptions, role: Role
) -> None:
    async with running(options, ignore) as stack:
        before = pids(stack, role)
        os.kill(min(before), signal.SIGKILL)
        await until(lambda: len(pids(stack, role) - before) == 1)
        await until(lambda: all(process.ready for process in stack.processes))
        assert said(options) == stack.description()
        if role is Role.WORKER:
            names = [process.name for process in stack.processes if process.role is role]
            assert len(set(names)) == 2


async def test_stack_stops_in_order_when_its_body_ends(options: StackOptions) -> None:
    async with running(options, ignore):
        pass
    stopped = (Path(options.environment["STANDIN_DIR"]) / "stopped").read_text().split()
    assert stopped == ["direct_contact", "ann_worker", "ann_worker", "rest_api"]


async def test_workers_follow_the_record_when_it_is_changed_by_rest(options: StackOptions) -> None:
    async with running(options, ignore) as stack:
        rest = Rest(stack.rest_url, stack.api_key)
        first = pids(stack, Role.WORKER)
        await rest.scale("default", 4)
        await until(lambda: len(pids(stack, Role.WORKER)) == 4)
        await rest.scale("default", 1)
        await until(lambda: len(pids(stack, Role.WORKER)) == 1)
        assert pids(stack, Role.WORKER) < first
        assert len(await rest.workers()) == 1


async def test_worker_is_not_started_again_when_it_was_scaled_away(options: StackOptions) -> None:
    lines: list[Line] = []
    async with running(options, lines.append) as stack:
        rest = Rest(stack.rest_url, stack.api_key)
        await rest.scale("default", 0)
        await until(lambda: not pids(stack, Role.WORKER))
        await until(lambda: not [p for p in stack.processes if p.role is Role.WORKER])
    assert not [line for line in lines if "starts again" in line.text]


async def test_worker_is_killed_when_its_drain_takes_too_long(
    options: StackOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "DRAIN_S", 0.3)
    options = replace(options, environment={**options.environment, "STANDIN_DEAF": Role.WORKER})
    async with running(options, ignore) as stack:
        rest = Rest(stack.rest_url, stack.api_key)
        await rest.scale("default", 0)
        await until(lambda: not pids(stack, Role.WORKER))


async def test_replicas_are_as_last_time_when_no_number_is_given(options: StackOptions) -> None:
    async with running(replace(options, workers=3), ignore):
        pass
    # SQLite's file is what tells an old data directory; the stand-in has none.
    (options.data_dir / "records.db").touch()
    async with running(replace(options, workers=None), ignore) as stack:
        assert len(pids(stack, Role.WORKER)) == 3


async def test_start_fails_with_the_last_words_when_a_service_cannot_start(
    options: StackOptions,
) -> None:
    options = replace(options, environment={**options.environment, "STANDIN_CRASH": Role.WORKER})
    with pytest.raises(StartFailed, match=r"(?s)exit code 3.*its settings are wrong"):
        async with running(options, ignore):
            pass
    assert options.ready_file is not None
    assert not options.ready_file.exists()


async def test_stack_uses_existing_servers_when_their_urls_are_given(
    options: StackOptions, nats_server: object, redis_server: object
) -> None:
    options = replace(options, nats_url=nats_server.url, redis_url=redis_server.url)  # type: ignore[attr-defined]
    async with running(options, ignore) as stack:
        roles = {process.role for process in stack.processes}
        assert roles == {Role.REST_API, Role.GATEWAY, Role.WORKER}


@pytest.mark.parametrize("server", ["nats", "redis"])
async def test_start_waits_with_a_message_and_fails_with_one_when_a_server_is_unreachable(
    options: StackOptions, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "WAIT_S", 0.3)
    url = f"{server}://user:secret@127.0.0.1:1"
    options = replace(options, **{f"{server}_url": url})
    lines: list[Line] = []
    with pytest.raises(Unavailable, match=f"{server}://127.0.0.1:1 does not answer") as caught:
        async with running(options, lines.append):
            pass
    assert f"waiting for {caught.value.message.split()[0]}" in lines[0].text
    assert "secret" not in caught.value.message


async def test_two_stacks_run_side_by_side_when_their_ports_are_free(
    options: StackOptions, tmp_path: Path
) -> None:
    other = replace(options, data_dir=tmp_path / "other", ready_file=None)
    async with running(options, ignore) as one, running(other, ignore) as two:
        assert one.rest_url != two.rest_url
