"""A peer under load: started, measured, stopped with everything that it started."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import urllib.error
import urllib.request
from array import array
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.load.plan import Door
from benchmarks.measuring import LoadFailed, Sample, Shape, put_load, run_generator, sample_of
from benchmarks.peers.catalogue import Peer
from benchmarks.peers.environments import python_of
from benchmarks.targets import ONE_THREAD, ROOT, Target, same_door
from launcher.embedded.ports import LOOPBACK, free_port

START_TIMEOUT_S = 120.0
STOP_S = 15.0
POLL_S = 0.1
MLSERVER_MODEL = "benchmarks.peers.servers.mlserver_model.Model"


async def measure_peer(
    peer: Peer,
    directory: Path,
    shape: Shape,
    *,
    weight: Path,
    values: bytes,
    expected: Sequence[float],
) -> Sample:
    """Start a peer, put the load on, stop it.

    Raises:
        LoadFailed: it does not start, or does not answer rightly.
    """
    _empty(directory)
    async with _started(peer, directory, weight) as (process, port):

        def pids() -> Mapping[str, int]:
            return _tree(process.pid)

        if peer.client:
            plan = {
                "port": port,
                "sessions": shape.sessions,
                "outstanding": shape.outstanding,
                "values": values.hex(),
                "expected": list(expected),
                "warm_s": shape.warm_s,
                "measure_s": shape.measure_s,
            }
            module, *arguments = peer.client.split()
            observed = await run_generator(
                module,
                plan,
                pids,
                shape.warm_s + shape.measure_s,
                python=str(python_of(peer)),
                arguments=arguments,
            )
            sample = sample_of(observed, len(values))
        else:
            sample = await _ours(peer, port, pids, shape, values, expected)
    sample.server_us = _by_name(sample.server_us)
    return sample


def _empty(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


async def _ours(
    peer: Peer,
    port: int,
    pids: Callable[[], Mapping[str, int]],
    shape: Shape,
    values: bytes,
    expected: Sequence[float],
) -> Sample:
    """With our own generator. HTTP has one request a connection under way: more connections."""
    door = Door(LOOPBACK, port, talk="raw", path=peer.path)
    if peer.wire == "http":
        door = replace(door, talk="json", wire="http")
        shape = replace(shape, sessions=shape.sessions * shape.outstanding, outstanding=1)
        values = json.dumps({"input": array("f", values).tolist()}).encode()
    target = Target(peer.title, pids, same_door(door))
    return await put_load(target, shape, values, expected)


@contextlib.asynccontextmanager
async def _started(
    peer: Peer, directory: Path, weight: Path
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    port = free_port(LOOPBACK)
    if peer.name == "mlserver":
        _write_mlserver_settings(directory, port)
    python = python_of(peer)
    names = {"python": str(python), "bin": str(python.parent)}
    names |= {"directory": str(directory), "port": str(port)}
    log = (directory / "log").open("wb")
    process = await asyncio.create_subprocess_exec(
        *(part.format(**names) for part in peer.command),
        cwd=ROOT,
        env={
            **os.environ,
            **ONE_THREAD,
            **peer.environment,
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "BENCHMARK_PORT": str(port),
            "BENCHMARK_WEIGHT": str(weight),
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=log,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        await _until_ready(peer, process, port)
        yield process, port
    except LoadFailed as error:
        raise LoadFailed(f"{error} ({_last_words(directory / 'log')})") from error
    finally:
        log.close()
        await _stop(process)


async def _until_ready(peer: Peer, process: asyncio.subprocess.Process, port: int) -> None:
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await asyncio.to_thread(_answers, peer, port):
                if process.returncode is not None:
                    raise LoadFailed(f"it ended with {process.returncode}")
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise LoadFailed(f"it is not ready after {START_TIMEOUT_S:.0f} s") from None


def _answers(peer: Peer, port: int) -> bool:
    port += peer.ready_offset
    try:
        if peer.ready == "port":
            socket.create_connection((LOOPBACK, port), timeout=1.0).close()
            return True
        url = f"http://{LOOPBACK}:{port}{peer.ready}"
        with urllib.request.urlopen(url, timeout=2.0) as response:
            return int(response.status) == 200
    except (OSError, urllib.error.URLError):
        return False


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " / ".join(line.strip() for line in lines[-3:])[-300:]


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Stop it and what it started: some of these leave children behind."""
    started = {one.pid: one for one in [*_processes(process.pid), *_session(process.pid)]}
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    for child in started.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def _session(pid: int) -> list[psutil.Process]:
    """The processes of the session that `pid` leads or led."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(process.pid) == pid:
                found.append(process)
    return found


def _processes(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _tree(pid: int) -> dict[str, int]:
    found = {}
    for process in _processes(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            found[f"{process.name()} {process.pid}"] = process.pid
    return found


def _by_name(costs: Mapping[str, float]) -> dict[str, float]:
    """Processes of the same name together: some peers start dozens."""
    found: dict[str, float] = {}
    for role, us in costs.items():
        name = role.rpartition(" ")[0] or role
        found[name] = found.get(name, 0.0) + us
    return found


def _write_mlserver_settings(directory: Path, port: int) -> None:
    settings = {
        "host": LOOPBACK,
        "grpc_port": port,
        "http_port": port + 1,
        "metrics_endpoint": None,
        "parallel_workers": 0,
        "gzip_enabled": False,
        "debug": False,
    }
    (directory / "settings.json").write_text(json.dumps(settings))
    model = {"name": "tanh", "implementation": MLSERVER_MODEL}
    (directory / "model-settings.json").write_text(json.dumps(model))
