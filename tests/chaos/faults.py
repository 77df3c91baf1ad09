"""Every kind of fault, done to a stage; what is random about one comes from its own generator."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from launcher.supervisor import Role
from launcher.supervisor.process import SupervisedProcess
from tests.chaos.stage import POOL, Stage
from tests.support.conditions import until
from tests.support.proxy import Connection

FROZEN_LEASES = (1.3, 2.0)
"""A frozen worker sleeps this many of its leases."""
STALL_S = (0.2, 1.5)
AWAY_S = (0.0, 1.0)
"""How long there is no worker when the pool is scaled to zero."""

Inflict = Callable[[Stage, Random], Awaitable[None]]


def _any(stage: Stage, role: Role, rng: Random) -> SupervisedProcess | None:
    """One of the processes that run; the generator moves on in any case."""
    share = rng.random()
    found = stage.processes(role)
    return found[int(share * len(found))] if found else None


def _kill(role: Role) -> Inflict:
    async def inflict(stage: Stage, rng: Random) -> None:
        process = _any(stage, role, rng)
        if process is not None:
            stage.signal(process, signal.SIGKILL)

    return inflict


def _drain(role: Role) -> Inflict:
    async def inflict(stage: Stage, rng: Random) -> None:
        process = _any(stage, role, rng)
        if process is not None:
            await _replace(stage, process)

    return inflict


async def _replace(stage: Stage, process: SupervisedProcess) -> None:
    pid = process.pid
    stage.signal(process, signal.SIGTERM)
    await stage.replaced(process, pid)


async def freeze_worker(stage: Stage, rng: Random) -> None:
    """Stop a worker for longer than its lease, then let it go on."""
    process = _any(stage, Role.WORKER, rng)
    frozen_s = stage.lease_s * rng.uniform(*FROZEN_LEASES)
    if process is None or (pid := process.pid) is None:
        return
    stage.signal(process, signal.SIGSTOP)
    await asyncio.sleep(frozen_s)
    if process.pid == pid:
        stage.signal(process, signal.SIGCONT)


async def cut_links(stage: Stage, rng: Random) -> None:
    """Reset one client's connection, or several, or all."""
    for connection in _some(stage.proxy.connections, rng):
        connection.cut()


async def half_close_links(stage: Stage, rng: Random) -> None:
    """Close connections in one direction."""
    toward = rng.choice(("client", "server"))
    for connection in _some(stage.proxy.connections, rng):
        connection.half_close("client" if toward == "client" else "server")


async def stall_links(stage: Stage, rng: Random) -> None:
    """Pass nothing on for a while, then everything."""
    stalled_s = rng.uniform(*STALL_S)
    stalled = _some(stage.proxy.connections, rng)
    for connection in stalled:
        connection.stall()
    await asyncio.sleep(stalled_s)
    for connection in stalled:
        connection.flow()


def _some(items: Sequence[Connection], rng: Random) -> list[Connection]:
    share = rng.choice((0.0, 0.3, 1.0))
    start = rng.random()
    count = max(1, round(len(items) * share))
    first = int(start * len(items))
    return [items[(first + offset) % len(items)] for offset in range(count)] if items else []


async def empty_redis(stage: Stage, rng: Random) -> None:
    """Redis comes back without its data."""
    stage.empty_redis()


async def empty_redis_and_kill_worker(stage: Stage, rng: Random) -> None:
    """Redis loses its data, and a worker dies before it has written its sessions again."""
    process = _any(stage, Role.WORKER, rng)
    if process is not None:
        stage.signal(process, signal.SIGKILL)
    stage.empty_redis()


async def restart_everything(stage: Stage, rng: Random) -> None:
    """A rolling restart: one process of ours after the other is drained and replaced."""
    for role in (Role.REST_API, Role.GATEWAY, Role.WORKER):
        for process in stage.processes(role):
            await _replace(stage, process)


async def scale_to_zero(stage: Stage, rng: Random) -> None:
    """Every worker is drained away, and as many come back."""
    away_s = rng.uniform(*AWAY_S)
    await stage.client.scale(POOL, 0)
    await until(lambda: not stage.processes(Role.WORKER), timeout_s=60)
    await asyncio.sleep(away_s)
    await stage.client.scale(POOL, stage.workers)
    await until(lambda: len(stage.processes(Role.WORKER)) == stage.workers, timeout_s=60)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    Args:
        inflict: does it, and returns when nothing more is done by it.
        weight: how often it is drawn, against the others.
        empties: Redis comes back without its data.
        moves: sessions may lose their owner.
        combined: it may strike together with others.
    """

    inflict: Inflict
    weight: float
    empties: bool = False
    moves: bool = False
    combined: bool = True


KINDS: Mapping[str, Kind] = {
    "worker-kill": Kind(_kill(Role.WORKER), 6, moves=True),
    "worker-freeze": Kind(freeze_worker, 2, moves=True),
    "worker-drain": Kind(_drain(Role.WORKER), 2, moves=True),
    "gateway-kill": Kind(_kill(Role.GATEWAY), 4),
    "gateway-drain": Kind(_drain(Role.GATEWAY), 2),
    "link-cut": Kind(cut_links, 5),
    "link-half-close": Kind(half_close_links, 3),
    "link-stall": Kind(stall_links, 3),
    "nats-restart": Kind(_kill(Role.NATS), 4),
    "redis-restart": Kind(_kill(Role.REDIS), 4),
    "redis-empty": Kind(empty_redis, 2, empties=True),
    "redis-empty-worker-kill": Kind(empty_redis_and_kill_worker, 1, empties=True, moves=True),
    "rolling-restart": Kind(restart_everything, 0.5, moves=True, combined=False),
    "scale-to-zero": Kind(scale_to_zero, 0.5, moves=True, combined=False),
}


@dataclass(frozen=True, slots=True)
class Strike:
    """One or more faults at a time."""

    kinds: tuple[str, ...]
    seeds: tuple[int, ...]
    spread_s: tuple[float, ...]
    """Each one begins this long after the first."""
    pause_s: float
    """Between the recovery from the strike before and this one."""

    @property
    def label(self) -> str:
        """For the report."""
        return self.kinds[0] if len(self.kinds) == 1 else "combined"

    @property
    def empties(self) -> bool:
        """Redis comes back without its data."""
        return any(KINDS[kind].empties for kind in self.kinds)

    @property
    def loses(self) -> bool:
        """The state of sessions may be gone by it: Redis' data together with an owner."""
        return self.empties and any(KINDS[kind].moves for kind in self.kinds)


COMBINED_SHARE = 0.3
PAUSE_S = 0.3


def schedule(seed: int, faults: int, kinds: Sequence[str]) -> list[Strike]:
    """The strikes of a run: the same for the same arguments.

    Each kind comes once, in a random order, before any is drawn by its weight.
    """
    rng = Random(seed)
    combinable = [kind for kind in kinds if KINDS[kind].combined]
    first = rng.sample(list(kinds), len(kinds))
    strikes: list[Strike] = []
    left = faults
    while left > 0:
        if first:
            chosen = [first.pop()]
        else:
            chosen = rng.choices(kinds, [KINDS[kind].weight for kind in kinds])
            if KINDS[chosen[0]].combined and rng.random() < COMBINED_SHARE:
                weights = [KINDS[kind].weight for kind in combinable]
                chosen += rng.choices(combinable, weights, k=min(rng.choice((1, 1, 2)), left))
        strikes.append(
            Strike(
                kinds=tuple(chosen),
                seeds=tuple(rng.getrandbits(32) for _ in chosen),
                spread_s=(0.0, *(rng.choice((0.0, rng.uniform(0, 0.5))) for _ in chosen[1:])),
                pause_s=rng.uniform(0, PAUSE_S),
            )
        )
        left -= len(chosen)
    return strikes


async def inflict(stage: Stage, strike: Strike) -> None:
    """Do all of it; returns when nothing more is done by it."""
    async with asyncio.TaskGroup() as tasks:
        for kind, seed, after_s in zip(strike.kinds, strike.seeds, strike.spread_s, strict=True):
            tasks.create_task(_one(stage, kind, seed, after_s), name=kind)


async def _one(stage: Stage, kind: str, seed: int, after_s: float) -> None:
    if after_s:
        await asyncio.sleep(after_s)
    await KINDS[kind].inflict(stage, Random(seed))
