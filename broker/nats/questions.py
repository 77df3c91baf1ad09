"""Requests and their answers, over one inbox subscription for the whole connection."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable

from broker.nats.client import DirectClient
from broker.port import Delivery


class Questions:
    """The requests under way on one connection."""

    def __init__(self, client: DirectClient) -> None:
        self._client = client
        self._inbox = f"_INBOX.{secrets.token_hex(11)}."
        self._numbers = itertools.count(1)
        self._waiting: dict[str, Callable[[Delivery], None]] = {}

    async def open(self) -> None:
        """Subscribe to the inbox; once, before the first question."""
        await self._client.listen(self._inbox + "*", self._receive, "")

    async def ask(
        self, subject: str, payload: bytes, *, copies: int, timeout_s: float
    ) -> list[Delivery]:
        """Send the copies and return what came back until `timeout_s`: answers or undeliverables.

        Cancelling it forgets the question; late answers are dropped.
        """
        inbox = f"{self._inbox}{next(self._numbers)}"
        arrived: list[Delivery] = []
        complete = asyncio.get_running_loop().create_future()

        def receive(delivery: Delivery) -> None:
            arrived.append(delivery)
            if len(arrived) == copies and not complete.done():
                complete.set_result(None)

        self._waiting[inbox] = receive
        try:
            async with asyncio.timeout(timeout_s):
                for _ in range(copies):
                    await self._client.send(subject, payload, inbox)
                await complete
        except TimeoutError:
            pass
        finally:
            del self._waiting[inbox]
        return arrived

    def _receive(self, delivery: Delivery) -> None:
        receive = self._waiting.get(delivery.subject)
        if receive is not None:
            receive(delivery)
