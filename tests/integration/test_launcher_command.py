"""The command as a user runs it: signals, exit codes, what it prints. Services are stand-ins."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.conditions import until

ROOT = Path(__file__).parents[2]


@dataclass
class Running:
    """`direct-contact up` in a process group of its own, as a terminal would start it."""

    process: asyncio.subprocess.Process
    ready_file: Path

    @property
    def ready(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ready_file.read_text())
        return found

    @property
    def pids(self) -> list[int]:
        return [process["pid"] for process in self.ready["processes"]]

    async def end(self) -> tuple[int, str, str]:
        out, err = await asyncio.wait_for(self.process.communicate(), 30)
        return self.process.returncode or 0, out.decode(), err.decode()


Up = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "state").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DC_")}
    return {**kept, "PYTHONPATH": str(ROOT), "STANDIN_DIR": str(tmp_path / "state")}


@pytest.fixture
def up(tmp_path: Path, environment: dict[str, str]) -> Up:
    @asynccontextmanager
    async def started(*options: str, **more: str) -> AsyncIterator[Running]:
        ready_file = tmp_path / "ready.json"
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "up", "--port", "0", "--stream-port", "0", "--ready-file", str(ready_file),
            *options,
            cwd=tmp_path, env={**environment, **more}, process_group=0,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            await until(lambda: ready_file.exists() or process.returncode is not None)
            yield Running(process, ready_file)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    return started


COMMAND = [sys.executable, "-m", "tests.support.standin_launcher"]


async def command(environment: dict[str, str], cwd: Path, *words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *words, cwd=cwd, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, out.decode(), err.decode()


def gone(pids: list[int]) -> bool:
    return not any(map(runs, pids))


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_up_stops_in_order_and_exits_0_when_ctrl_c_reaches_its_group(up: Up) -> None:
    async with up() as running:
        key, pids = running.ready["api_key"], running.pids
        os.killpg(running.process.pid, signal.SIGINT)
        code, out, err = await running.end()
    assert code == 0
    assert gone(pids)
    assert key in out
    assert out.splitlines()[-1].startswith("Ready: REST http://127.0.0.1:")
    # A stand-in that gets the terminal's SIGINT ends with 66, and would be started again.
    assert "starts again" not in err


async def test_up_shows_the_key_only_once_when_it_starts_again(up: Up) -> None:
    keys, outs = [], []
    for _ in range(2):
        async with up() as running:
            keys.append(running.ready["api_key"])
            running.process.send_signal(signal.SIGTERM)
            code, out, _err = await running.end()
            outs.append(out)
            assert code == 0
    assert keys[0] == keys[1]
    assert [key in out for key, out in zip(keys, outs, strict=True)] == [True, False]


async def test_up_stops_at_once_when_ctrl_c_comes_twice(up: Up) -> None:
    async with up(STANDIN_DEAF="ann_worker") as running:
        pids = running.pids
        pid_of = {process["role"]: process["pid"] for process in running.ready["processes"]}
        running.process.send_signal(signal.SIGINT)
        await until(lambda: gone([pid_of["direct_contact"]]))
        assert not gone([pid_of["ann_worker"]])
        running.process.send_signal(signal.SIGINT)
        code, _out, _err = await running.end()
    assert code == 0
    assert gone(pids)


async def test_no_process_outlives_the_launcher_when_it_is_killed(up: Up) -> None:
    async with up(STANDIN_DEAF="ann_worker") as running:
        pids = running.pids
        assert len(pids) == 6
        running.process.kill()
        await until(lambda: gone(pids))


async def test_up_starts_again_when_the_launcher_before_was_killed(up: Up) -> None:
    for _ in range(2):
        async with up() as running:
            assert len(running.pids) == 6
            running.process.kill()
            await running.process.wait()
            running.ready_file.unlink()


async def test_up_names_the_port_and_the_option_when_one_is_in_use(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code, out, err = await command(
            environment, tmp_path, "up", "--port", str(port), "--stream-port", "0"
        )
    assert code == 1
    assert out == ""
    assert f"port {port} on 127.0.0.1 (for REST) is in use: choose another with --port" in err


async def test_up_names_the_pid_when_the_data_directory_is_locked(
    up: Up, environment: dict[str, str], tmp_path: Path
) -> None:
    async with up() as running:
        code, _out, err = await command(environment, tmp_path, "up", "--port", "0")
        assert code == 1
        assert f"in use by the launcher with pid {running.process.pid}" in err


async def test_scale_waits_for_the_workers_when_a_stack_runs(
    up: Up, environment: dict[str, str], tmp_path: Path
) -> None:
    async with up() as running:
        for replicas in (4, 1):
            code, out, err = await command(environment, tmp_path, "scale", str(replicas), "--json")
            assert code == 0, err
            assert len(json.loads(out)["workers"]) == replicas
            roles = [process["role"] for process in running.ready["processes"]]
            assert roles.count("ann_worker") >= replicas
        url, key = running.ready["rest_url"], running.ready["api_key"]
        code, out, _err = await command(
            environment, ROOT, "scale", "2", "--rest-url", url, "--api-key", key
        )
        assert code == 0
        assert out.startswith("2 of 2 workers: ann-worker-")


async def test_scale_explains_when_the_key_is_wrong(
    up: Up, environment: dict[str, str], tmp_path: Path
) -> None:
    async with up() as running:
        words = ("scale", "2", "--rest-url", running.ready["rest_url"], "--api-key", "dck_x_y")
        code, _out, err = await command(environment, tmp_path, *words)
        assert code == 1
        assert "answered 401: the key is unknown" in err


async def test_status_shows_processes_and_workers_when_a_stack_runs(
    up: Up, environment: dict[str, str], tmp_path: Path
) -> None:
    async with up() as running:
        code, out, _err = await command(environment, tmp_path, "status", "--json")
        assert code == 0
        found = json.loads(out)
        assert found["processes"] == running.ready["processes"]
        assert len(found["workers"]) == 2
        code, out, _err = await command(environment, tmp_path, "status")
        assert code == 0
        assert all(word in out for word in ("nats", "redis", "rest_api", "ann-worker-2-"))


@pytest.mark.parametrize("words", [("status",), ("scale", "3"), ("down",)])
async def test_command_explains_when_no_stack_runs(
    environment: dict[str, str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    code, out, err = await command(environment, tmp_path, *words)
    assert (code, out) == (1, "")
    assert "no stack runs on --data-dir .direct-contact" in err
    code, out, err = await command(environment, tmp_path, *words, "--json")
    assert code == 1
    assert json.loads(out)["error"]["code"] == "not_found"


async def test_down_stops_the_stack_when_one_runs(
    up: Up, environment: dict[str, str], tmp_path: Path
) -> None:
    async with up() as running:
        pids = running.pids
        code, out, _err = await command(environment, tmp_path, "down", "--json")
        assert (code, json.loads(out)) == (0, {"stopped": running.process.pid})
        assert gone(pids)
        assert (await running.end())[0] == 0


async def test_up_writes_one_json_object_when_asked_for_json(up: Up) -> None:
    async with up("--json", "--log-format", "json", "--log-level", "DEBUG") as running:
        ready = running.ready
        running.process.send_signal(signal.SIGINT)
        code, out, err = await running.end()
    assert code == 0
    assert json.loads(out) == ready
    assert all(json.loads(line) for line in err.splitlines())
