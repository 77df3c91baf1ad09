"""Lua scripts: read from the package, run by digest, loaded where the server lost them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from foundation.answers import settle

Value = str | bytes | int
Call = tuple[Sequence[str], Sequence[Value]]
"""The KEYS and the ARGV of one run."""
_Waiting = tuple[Call, "asyncio.Future[Any]"]

TOGETHER = 128
"""Runs in one pipeline."""


class Script:
    """One file of `registry/live/scripts`. Running it may repeat it, so it must bear that."""

    def __init__(self, name: str) -> None:
        file = resources.files("registry.live") / "scripts" / f"{name}.lua"
        self._text = file.read_text(encoding="utf-8")
        self._digest = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()
        self._waiting: list[_Waiting] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self, redis: Redis, keys: Sequence[str], arguments: Sequence[Value]) -> Any:
        """Run it once, atomically."""
        try:
            return await self._send(redis, self._digest, keys, arguments)
        except NoScriptError:
            await self._load(redis)
            return await self._send(redis, self._digest, keys, arguments)

    async def run_each(self, redis: Redis, calls: Sequence[Call]) -> list[Any]:
        """Run it for each call, in one round trip; each run is atomic, the sequence is not.

        Raises:
            redis.exceptions.RedisError: of the first run that failed.
        """
        if not calls:
            return []
        answers = await self._loaded_pipeline(redis, calls)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    async def run_together(
        self, redis: Redis, keys: Sequence[str], arguments: Sequence[Value]
    ) -> Any:
        """As `run`, but all calls of one event-loop turn share a round trip and a connection.

        When a worker dies, its sessions are taken in one turn; each on a connection of its own
        they would wait longer for new connections (25 ms for 32) than for the scripts.
        """
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._send_waiting, redis)
        self._waiting.append(((keys, arguments), answer))
        return await answer

    def _send_waiting(self, redis: Redis) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), TOGETHER):
            sending = asyncio.get_running_loop().create_task(
                self._run_waiting(redis, waiting[start : start + TOGETHER])
            )
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    async def _run_waiting(self, redis: Redis, waiting: Sequence[_Waiting]) -> None:
        calls = [call for call, _ in waiting]
        answers: Sequence[Any]
        try:
            answers = await self._loaded_pipeline(redis, calls)
        except Exception as error:  # noqa: BLE001  # each caller gets it
            answers = [error] * len(calls)
        settle((future for _, future in waiting), answers)

    async def _loaded_pipeline(self, redis: Redis, calls: Sequence[Call]) -> list[Any]:
        answers = await self._pipeline(redis, calls)
        # Another pipeline may load the script while this one runs: then only its first calls miss.
        missed = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if missed:
            await self._load(redis)
            again = await self._pipeline(redis, [calls[at] for at in missed])
            for at, answer in zip(missed, again, strict=True):
                answers[at] = answer
        return answers

    async def _pipeline(self, redis: Redis, calls: Sequence[Call]) -> list[Any]:
        async with redis.pipeline(transaction=False) as pipeline:
            for keys, arguments in calls:
                pipeline.execute_command("EVALSHA", self._digest, len(keys), *keys, *arguments)
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
            return answers

    async def _load(self, redis: Redis) -> None:
        await redis.execute_command("SCRIPT LOAD", self._text)  # type: ignore[no-untyped-call]

    @staticmethod
    async def _send(
        redis: Redis, digest: str, keys: Sequence[str], arguments: Sequence[Value]
    ) -> Any:
        return await redis.execute_command(  # type: ignore[no-untyped-call]
            "EVALSHA", digest, len(keys), *keys, *arguments
        )
