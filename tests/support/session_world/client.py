"""The client, and the rules that it sees kept."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from direct_contact.session import ClientMachine, ClientState, before
from tests.support.session_world.gateway import Gateway
from tests.support.session_world.values import (
    INITIAL,
    ClientFrame,
    Input,
    Message,
    Output,
    parts_of,
    step,
)

if TYPE_CHECKING:
    from tests.support.session_world.world import World


class Client:
    """The client, and the judge of what it sees."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.machine: ClientMachine[list[Any]] = ClientMachine()
        self.epoch = 0
        self.gateway: Gateway | None = None
        self.outgoing: deque[Input] = deque()
        self.inputs: dict[int, int] = {}
        self.answered: dict[int, str] = {}
        """The state after each input, as its answer told; "dropped" or "lost" for others."""
        self.parts: dict[int, int] = {}
        self.losses: list[tuple[int, int]] = []
        self.without: set[int] = set()
        """The inputs whose effect is lost."""

    # ------------------------------------------------------------ connections

    def connect(self) -> None:
        """Greet through a new gateway."""
        gateway = self.world.new_gateway()
        self.gateway = gateway
        self.machine.connected()
        seq, part, last = before(self.machine.due)
        gateway.from_client.append(
            {
                "seq": seq,
                "part": part,
                "last": last,
                "oldest_retained_seq": self.machine.oldest_retained_seq,
                "epoch": self.epoch,
            }
        )

    def cut_off(self) -> None:
        """The socket is gone, seen from here."""
        self.gateway = None
        self.outgoing.clear()
        self.machine.disconnected()

    # ------------------------------------------------------------ sending

    def submit(self, x: int, size: int) -> None:
        """Send an input, if there is credit for it."""
        if not self.machine.has_credit(size):
            return
        seq = self.machine.submit([x, size, False], size)
        self.inputs[seq] = x
        self.outgoing.append(Input(seq, x, size))

    def flush(self, *, ack: bool = True) -> None:
        """Everything that is ready, as one frame."""
        if self.gateway is None or self.machine.state is not ClientState.OPEN:
            return
        inputs = tuple(self.outgoing)
        self.outgoing.clear()
        cursor = self.machine.acknowledgement() if ack or inputs else None
        if inputs or cursor is not None:
            self.gateway.from_client.append(ClientFrame(inputs, cursor))

    # ------------------------------------------------------------ receiving

    def read(self) -> None:
        """The next frame of the gateway."""
        assert self.gateway is not None
        kind, content = self.gateway.to_client.popleft()
        machine = self.machine
        if kind == "welcome":
            message, next_seq = content
            self._attached(message)
            resend = machine.welcome(
                durable_seq=message.durable,
                next_seq=next_seq,
                window_seq=message.window,
                window_bytes=message.bytes,
            )
            self.outgoing = deque(
                Input(kept.seq, kept.item[0], kept.item[1], kept.item[2]) for kept in resend
            )
        elif kind == "moved":
            self._attached(content)
        elif kind == "progress":
            machine.progress(
                durable_seq=content.durable,
                window_seq=content.window,
                window_bytes=content.bytes,
            )
        else:
            for output in content:
                if machine.receive(output.seq, output.part, output.last):
                    self._judge(output)

    def _attached(self, message: Message) -> None:
        self.epoch = max(self.epoch, message.epoch)
        if message.outcome == "lost":
            self._lose(message)

    def _lose(self, message: Message) -> None:
        lost_from, lost_to = message.lost_from, message.lost_to
        assert self.world.checkpoint_deleted, "LOST without a lost checkpoint"
        for seq in self.machine.lose(lost_to):
            assert seq not in self.answered
            self.answered[seq] = "lost"
            self.parts.pop(seq, None)
        self.losses.append((lost_from, lost_to))
        self.without = set(message.missing)

    def _judge(self, output: Output) -> None:
        seq = output.seq
        assert seq not in self.answered, "answered twice"
        assert seq - 1 in self.answered or seq == 1, "out of order"
        assert output.part == self.parts.get(seq, 0), "a part is missing or repeated"
        self.parts[seq] = output.part + 1
        if output.dropped:
            assert output.last
            self.answered[seq] = "dropped"
            self._mark_skip(seq)
            return
        was = self._state_before(seq)
        assert was is None or output.before == was, "the history changed"
        was = output.before
        if not self.world.hold:
            assert output.after == step(was, self.inputs[seq]), "a wrong value"
        if output.last:
            assert self.parts[seq] == parts_of(self.inputs[seq])
            self.answered[seq] = output.after

    def _mark_skip(self, seq: int) -> None:
        kept = self.machine.retained(seq)
        if kept is not None:
            kept.item[2] = True

    def _state_before(self, seq: int) -> str | None:
        """The state that every answer seen so far leads to; None: one was never seen."""
        if not self.world.stateful:
            return INITIAL
        state = INITIAL
        for earlier in range(1, seq):
            answer = self.answered[earlier]
            if answer == "dropped" or earlier in self.without:
                continue
            if answer == "lost":
                # The answer is lost, but not the effect: nobody knows whether it was dropped.
                return None
            # After a loss, what was answered before it is computed again on another state.
            state = step(state, self.inputs[earlier]) if self.losses else answer
        return state
