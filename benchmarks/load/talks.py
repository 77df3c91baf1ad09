"""What the generator says: one answer for each message, or the protocol `dc.v1`."""

from __future__ import annotations

import asyncio
import json
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence

from benchmarks.load.frames import (
    MAX_SEQ,
    ConstantMessages,
    InputMessages,
    acknowledgement,
    websocket_message,
)
from benchmarks.load.meter import Meter
from benchmarks.load.wires import Broken, HttpWire, NatsWire, Wire
from protos.dc.v1.stream_pb2 import Bye, ClientFrame, Hello, ServerFrame
from protos.dc.v1.tensor_pb2 import Payload

ACK_AFTER = 64
"""Outputs between two acknowledgements, as in our own client."""
TOLERANCE = 1e-4

_now = time.perf_counter


class PlainTalk:
    """One session: sends `outstanding` inputs, then one more for each answer.

    Args:
        meter: counts.
        messages: makes what is sent.
        outstanding: how many inputs are under way.
        bundle: inputs that leave together share a message.
        expected: the first values of the first answer.
    """

    def __init__(
        self,
        meter: Meter,
        messages: InputMessages | ConstantMessages,
        *,
        outstanding: int,
        bundle: bool,
        expected: tuple[float, ...],
    ) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_broken: Callable[[str], None] = lambda _reason: None
        self.paced = False
        """Open loop: what is sent is decided elsewhere."""
        self._meter = meter
        self._messages = messages
        self._bundle = bundle
        self._expected = expected
        self._due = outstanding
        self._wire: Wire | None = None
        self._sent = 0
        self._answered = 0
        self._came = 0
        self._sent_at: deque[float] = deque()

    # ------------------------------------------------------------ the wire's side

    def opened(self, wire: Wire) -> None:
        """The wire is up."""
        self._wire = wire
        self.ready.set_result(None)

    def message(self, data: bytes) -> None:
        """An answer."""
        if self._expected and not self._answered:
            self._check(self.values_of(data))
        self._answered += 1
        self._came += 1

    def turn_over(self) -> None:
        """Count what came, and send as much again."""
        came = self._came
        if came:
            self._came = 0
            now = _now()
            meter = self._meter
            popleft = self._sent_at.popleft
            if meter.running:
                meter.count(came, now)
                took = meter.took
                for _ in range(came):
                    took(now - popleft())
            else:
                for _ in range(came):
                    popleft()
            if not self.paced and not meter.stopped:
                self.send(came, now)

    def closed(self, reason: str) -> None:
        """The wire is gone."""
        if not self.ready.done():
            self.ready.set_exception(Broken(reason))
        elif not self._meter.stopped:
            self.on_broken(reason)

    # ------------------------------------------------------------ sending

    def begin(self) -> None:
        """Send the first inputs."""
        self.send(self._due, _now())

    def send(self, count: int, at: float) -> None:
        """Send inputs, which count as sent at `at`."""
        wire = self._wire
        if wire is None:
            return
        first = self._sent + 1
        self._sent += count
        if self._sent > MAX_SEQ:
            raise Broken("the numbers are used up")
        self._sent_at.extend([at] * count)
        acknowledged = self.due_acknowledgement()
        if self._bundle:
            messages = [self._messages.bundle(first, count, acknowledged)]
        else:
            one = self._messages.one
            messages = [one(seq) for seq in range(first, first + count)]
            if acknowledged:
                # It rides on the last input, as a client would let it.
                messages[-1] = self._messages.bundle(self._sent, 1, acknowledged)
        if isinstance(wire, NatsWire | HttpWire):
            wire.write(wire.framed(messages))
        else:
            wire.write(messages[0] if len(messages) == 1 else b"".join(messages))

    def due_acknowledgement(self) -> int:
        """What to acknowledge now; 0: nothing."""
        return 0

    def end(self) -> None:
        """Say goodbye."""
        if self._wire is not None:
            self._wire.bye()

    def values_of(self, data: bytes) -> Sequence[float]:
        """The values in an answer."""
        return _values(ServerFrame.FromString(data))

    def _check(self, values: Sequence[float]) -> None:
        for index, (got, wanted) in enumerate(zip(values, self._expected, strict=False)):
            if abs(got - wanted) > TOLERANCE:
                raise Broken(f"value {index} of the first answer is {got}, expected {wanted}")


class RawTalk(PlainTalk):
    """Answers are bare float32."""

    def values_of(self, data: bytes) -> Sequence[float]:
        """The values in an answer."""
        return array("f", data)


class JsonTalk(PlainTalk):
    """Answers are JSON objects with the values under `output`."""

    def values_of(self, data: bytes) -> Sequence[float]:
        """The values in an answer."""
        values: list[float] = json.loads(data)["output"]
        return values


def _values(frame: ServerFrame) -> Sequence[float]:
    output = frame.outputs[0]
    if output.HasField("error"):
        raise Broken(f"the first input failed: {output.error.message}")
    return array("f", Payload.FromString(output.payload).tensors[0].data)


class StreamTalk(PlainTalk):
    """The same over `dc.v1`: greets, checks that outputs come once and in order, acknowledges."""

    _acknowledged = 0
    _window = 0

    def opened(self, wire: Wire) -> None:
        """The wire is up: greet."""
        self._wire = wire
        hello = ClientFrame(hello=Hello(oldest_retained_seq=1))
        wire.write(websocket_message(hello.SerializeToString()))

    def message(self, data: bytes) -> None:
        """A frame of the server."""
        frame = ServerFrame.FromString(data)
        outputs = frame.outputs
        if outputs:
            if self._expected and not self._answered:
                self._check(_values(frame))
            count = len(outputs)
            newest = outputs[count - 1]
            if newest.seq != self._answered + count or newest.HasField("error"):
                raise Broken(f"after output {self._answered} came {count} up to {newest}"[:500])
            self._answered = newest.seq
            self._came += count
            return
        if frame.HasField("welcome"):
            self._window = frame.welcome.window_seq
            self.ready.set_result(None)
        elif frame.HasField("error"):
            raise Broken(f"{frame.error.code}: {frame.error.message}")

    def due_acknowledgement(self) -> int:
        """Everything that arrived, once enough did."""
        if self._answered - self._acknowledged < ACK_AFTER:
            return 0
        self._acknowledged = self._answered
        return self._answered

    def ping(self) -> None:
        """A sign of life."""
        if self._wire is not None and self._wire.is_open:
            self._wire.write(websocket_message(b"\x32\x02\x08\x01"))

    def end(self) -> None:
        """End the session."""
        if self._wire is not None:
            frame = acknowledgement(self._answered) if self._answered else b""
            bye = ClientFrame(bye=Bye()).SerializeToString()
            self._wire.write(websocket_message(frame + bye))
