"""`python -m benchmarks.load.pressing`: clients that do what they should not.

`unread`: sends all that its credits allow, and never reads an answer.
`flood`: sends more than its credits allow, as fast as the server reads, in one new session after
the other: the server closes each.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import uvloop

from benchmarks.load.__main__ import connect
from benchmarks.load.frames import InputMessages
from benchmarks.load.meter import Meter
from benchmarks.load.rest import RestLine, door_of
from benchmarks.load.talks import StreamTalk
from benchmarks.load.wires import Broken, Wire
from protos.dc.v1.stream_pb2 import ServerFrame

CHUNK_BYTES = 1 << 20
UNSENT_BYTES = 4 << 20
"""What waits in this process at most."""


class Presser(StreamTalk):
    """Sends inputs of one size, up to a number of them."""

    def __init__(self, payload: bytes, until: float, *, flood: bool) -> None:
        messages = InputMessages(payload, websocket=True)
        super().__init__(Meter(), messages, outstanding=1, bundle=False, expected=())
        self.sent = 0
        self.reason = ""
        self._payload_bytes = len(payload)
        self._until = until
        self._flood = flood
        self._ended = asyncio.Event()
        self._link: Wire | None = None
        self._credit = 0

    def opened(self, wire: Wire) -> None:
        """The wire is up."""
        self._link = wire
        super().opened(wire)

    def message(self, data: bytes) -> None:
        """Only the Welcome matters."""
        frame = ServerFrame.FromString(data)
        if frame.HasField("welcome"):
            welcome = frame.welcome
            self._credit = min(welcome.window_seq, welcome.window_bytes // self._payload_bytes)
            self.ready.set_result(None)

    def turn_over(self) -> None:
        """Nothing is sent for an answer."""

    def closed(self, reason: str) -> None:
        """The server had enough."""
        self.reason = reason
        self._ended.set()
        if not self.ready.done():
            self.ready.set_exception(Broken(reason))

    async def press(self) -> None:
        """Until the server closes, or the time is over."""
        assert self._link is not None
        transport = self._link.transport
        if not self._flood and transport is not None:
            transport.pause_reading()
        while time.perf_counter() < self._until and not self._ended.is_set():
            transport = self._link.transport
            if transport is None:
                break
            written = transport.get_write_buffer_size()
            while written < UNSENT_BYTES and (self._flood or self.sent < self._credit):
                self.sent += 1
                message = self._messages.one(self.sent)
                transport.write(message)
                written += len(message)
            await asyncio.sleep(0.002)
        if self._link.transport is not None:
            self._link.transport.abort()


async def run(plan: dict[str, Any]) -> dict[str, Any]:
    """Press from every session for as long as the plan says."""
    until = time.perf_counter() + plan["seconds"]
    reasons: dict[str, int] = {}
    sent = 0

    async def one() -> None:
        nonlocal sent
        rest = RestLine(plan["host"], plan["port"], plan["api_key"])
        while time.perf_counter() < until:
            opened = await rest.post("/v1/sessions", plan["body"])
            presser = Presser(bytes.fromhex(plan["payload"]), until, flood=plan["flood"])
            await connect(door_of(opened["stream"]), presser)
            await presser.ready
            await presser.press()
            sent += presser.sent
            reason = presser.reason[:60]
            reasons[reason] = reasons.get(reason, 0) + 1
        rest.close()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(plan["sessions"]):
            tasks.create_task(one())
    return {"sent": sent, "reasons": reasons}


def main() -> None:
    """Read the plan, carry it out, write what happened."""
    plan = json.loads(sys.stdin.readline())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.write(json.dumps(runner.run(run(plan))) + "\n")


if __name__ == "__main__":
    main()
