"""Numbered links between gateways and workers: one envelope for a destination and loop turn.

Core NATS may lose messages. Each envelope carries its number on the link from its sender to its
destination; a receiver that sees a gap says so to its owner, which resynchronises the sessions
that it shares with that peer. Heartbeats carry the last number, so that a loss at the end of a
burst is seen too, and tell that the peer lives.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from broker.envelopes import Item, envelope_head, item_parts, read_envelope
from broker.local_links import LocalLink, Receiving
from broker.port import Broker, Delivery
from foundation.clock import Monotonic, monotonic
from foundation.errors import DirectContactError, Unavailable
from foundation.pulse import Pulse

logger = logging.getLogger(__name__)

TICK_S: Final = 0.02
"""How often silence is looked at. A probe at this pace has the broker's "nobody listens" one tick
after a kill at the latest; 50 wake-ups a second cost 0.3 % of a core."""

HEARTBEAT_S: Final = 0.25
SETTLE_S: Final = 0.5
"""After a reconnect, "nobody listens" is not believed for this long: the clients of a restarted
broker come back within 0.2 s of each other."""

ENVELOPE_BYTES: Final = 256 * 1024
"""An envelope is closed when it passes this size. Larger ones gain nothing (a NATS message costs
the same CPU as 20 KiB of its payload) and make the peer's turns long."""


class LinkOwner(Protocol):
    """Whoever owns the sessions behind the links."""

    def receive(self, peer: str, items: Sequence[Any]) -> None:
        """Items came from `peer`, in order: `ToWorker` to a worker, `ToGateway` to a gateway.

        One that holds a frame may be what reads like it, of `broker.frame_items`.
        """

    def gap(self, peer: str) -> None:
        """Items of `peer` were lost on the way: resynchronise the sessions shared with it."""

    def gone(self, peer: str, reason: str) -> None:
        """`peer` does not listen any more, or was silent too long. Told once."""

    def shares(self, peer: str) -> bool:
        """True while sessions are shared with `peer`: its silence is watched."""


@dataclass(slots=True)
class _Peer:
    name: str
    subject: str
    undelivered: str
    sent_number: int = 0
    received_number: int = 0
    sent_at: float = 0.0
    heard_at: float = 0.0
    unanswered: bool = False
    pending: list[Item] = field(default_factory=list)


@dataclass(slots=True)
class LinkCounters:
    """What went over the links, for metrics."""

    envelopes_out: int = 0
    envelopes_in: int = 0
    items_out: int = 0
    gaps: int = 0
    unsent: int = 0


class Links:
    """All links of one process.

    Args:
        broker: carries the envelopes.
        name: this process, as its peers know it; new at each start.
        inbox: the subject that peers send to.
        outbox: a peer's inbox, by its name.
        undelivered: the reply subject for envelopes to a peer, by its name. All of them must
            match one wildcard, `undelivered("*")`.
        owner: is told what comes and what fails.
        silence_s: a peer that shares sessions and is silent for longer counts as gone.
        heard: is told, ahead of the owner, how many items came together over the broker.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        name: str,
        inbox: str,
        outbox: Callable[[str], str],
        undelivered: Callable[[str], str],
        owner: LinkOwner,
        silence_s: float,
        heard: Callable[[int], None] | None = None,
        clock: Monotonic = monotonic,
    ) -> None:
        self.counters = LinkCounters()
        self._broker = broker
        self._name = name
        self._inbox = inbox
        self._outbox = outbox
        self._undelivered = undelivered
        self._owner = owner
        self._silence_s = silence_s
        self._heard = heard
        self._clock = clock
        self._peers: dict[str, _Peer] = {}
        self._ready: dict[str, _Peer] = {}
        self._near: dict[str, LocalLink] = {}
        self._wake = asyncio.Event()
        self._met = asyncio.Event()
        self._settled_at = 0.0
        self._blocked: deque[tuple[_Peer, bytes]] = deque()
        self._sent = Pulse()

    async def open(self) -> None:
        """Listen; after this, peers can reach this process."""
        self._broker.on_disconnect(self._unsettle)
        self._broker.on_reconnect(self._settle)
        await self._broker.subscribe(self._inbox, self._on_envelope)
        await self._broker.subscribe(self._undelivered("*"), self._on_undelivered)

    def join(self, other: Links) -> None:
        """From now on these two, in one process, need no broker for each other.

        Neither watches the other: both live as long as the process does.
        """
        receiving = Receiving()
        self._near[other._name] = LocalLink(self._name, other._owner, receiving)
        other._near[self._name] = LocalLink(other._name, self._owner, receiving)

    async def run(self) -> None:
        """Watch the peers, and send what found no room at first, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send_blocked(), name="links-send")
            tasks.create_task(self._watch(), name="links-watch")

    def send(self, peer: str, item: Item) -> None:
        """Queue an item; it leaves at the end of this event-loop turn, with its neighbours.

        The queue is bounded by what its sessions may have outstanding: their credits.
        """
        near = self._near.get(peer)
        if near is not None:
            near.send(item)
            return
        link = self._peers.get(peer) or self._meet(peer)
        if not link.pending:
            self._make_ready(link)
        link.pending.append(item)

    def send_now(self, items: Iterable[tuple[str, Item]]) -> None:
        """Send items, each to its peer, behind what is queued, without waiting for the turn's end.

        For whoever bundles by itself: another turn costs a wake-up's worth of latency.
        """
        for peer, item in items:
            near = self._near.get(peer)
            if near is not None:
                near.send(item)
                continue
            link = self._peers.get(peer) or self._meet(peer)
            self._ready[peer] = link
            link.pending.append(item)
        self._send_ready()

    async def flush(self) -> None:
        """Return when everything queued before the call has reached the broker, or cannot.

        A broker that is away holds up nobody who leaves: peers see what they missed.
        """
        await self._sent.until(lambda: not self._ready and not self._blocked)
        try:
            await self._broker.flush()
        except Unavailable as error:
            logger.warning("what was sent last may be lost: %s", error.message)

    def _meet(self, peer: str) -> _Peer:
        now = self._clock()
        link = self._peers[peer] = _Peer(
            peer, self._outbox(peer), self._undelivered(peer), sent_at=now, heard_at=now
        )
        self._met.set()
        return link

    # ------------------------------------------------------------ sending

    def _make_ready(self, link: _Peer) -> None:
        if not self._ready:
            asyncio.get_running_loop().call_soon(self._send_ready)
        self._ready[link.name] = link

    def _send_ready(self) -> None:
        ready, self._ready = self._ready, {}
        for link in ready.values():
            items, link.pending = link.pending, []
            self._send(link, items)
        self._sent.beat()

    def _send(self, link: _Peer, items: list[Item]) -> None:
        if not items:
            self._post(link, [])
            return
        parts: list[bytes] = []
        size = 0
        for item in items:
            entry = item_parts(item)
            entry_bytes = sum(map(len, entry))
            if parts and size + entry_bytes > ENVELOPE_BYTES:
                self._post_next(link, parts)
                parts, size = [], 0
            parts += entry
            size += entry_bytes
        self.counters.items_out += len(items)
        self._post_next(link, parts)

    def _post_next(self, link: _Peer, parts: list[bytes]) -> None:
        link.sent_number += 1
        link.unanswered = True
        self._post(link, parts)

    def _post(self, link: _Peer, parts: list[bytes]) -> None:
        """Send an Envelope: its own fields, and its items as they are on the wire."""
        link.sent_at = self._clock()
        self.counters.envelopes_out += 1
        parts.insert(0, envelope_head(self._name, link.sent_number))
        if self._blocked or not self._broker.post(link.subject, parts, reply=link.undelivered):
            self._blocked.append((link, b"".join(parts)))
            self._wake.set()

    async def _send_blocked(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._blocked:
                link, payload = self._blocked[0]
                try:
                    await self._broker.publish(link.subject, payload, reply=link.undelivered)
                except DirectContactError as error:
                    # The number is spent: the peer sees the gap and asks again.
                    self.counters.unsent += 1
                    logger.debug("an envelope was not sent: %s", error)
                self._blocked.popleft()
            self._sent.beat()

    # ------------------------------------------------------------ receiving

    def _on_envelope(self, delivery: Delivery) -> None:
        peer, number, items = read_envelope(delivery.payload)
        link = self._peers.get(peer) or self._meet(peer)
        link.heard_at = self._clock()
        link.unanswered = False
        self.counters.envelopes_in += 1
        if not items:
            # A heartbeat says what the last number was; it takes none of its own.
            if number != link.received_number:
                link.received_number = number
                self._gap(peer)
            return
        in_order = number == link.received_number + 1
        link.received_number = number
        if self._heard is not None:
            self._heard(len(items))
        self._owner.receive(peer, items)
        if not in_order:
            self._gap(peer)

    def _gap(self, peer: str) -> None:
        self.counters.gaps += 1
        self._owner.gap(peer)

    def _unsettle(self) -> None:
        # The restarted broker's first "nobody listens" come before the reconnect is told of.
        self._settled_at = math.inf

    def _settle(self) -> None:
        # Silence while the broker was away says nothing of a peer, and a peer whose reconnect
        # takes longer than ours does not listen yet.
        now = self._clock()
        self._settled_at = now + SETTLE_S
        for link in self._peers.values():
            link.heard_at = now

    def _on_undelivered(self, delivery: Delivery) -> None:
        if delivery.undeliverable and self._clock() >= self._settled_at:
            self._forget(delivery.subject.rpartition(".")[2], "it does not listen any more")

    def _forget(self, peer: str, reason: str) -> None:
        if self._peers.pop(peer, None) is not None:
            self._ready.pop(peer, None)
            self._owner.gone(peer, reason)

    # ------------------------------------------------------------ watching

    async def _watch(self) -> None:
        while True:
            # Nobody to look at costs no wake-ups: those delay whoever has the core.
            await self._met.wait()
            await asyncio.sleep(TICK_S)
            if not self._broker.connected:
                continue
            now = self._clock()
            for link in list(self._peers.values()):
                self._look_at(link, now)
            if not self._peers:
                self._met.clear()

    def _look_at(self, link: _Peer, now: float) -> None:
        silent_s = now - link.heard_at
        if not self._owner.shares(link.name):
            if silent_s > self._silence_s and now - link.sent_at > self._silence_s:
                # Nothing is shared: forget the numbers; the next envelope begins a new count.
                self._peers.pop(link.name, None)
            return
        if silent_s > self._silence_s:
            self._forget(link.name, f"it was silent for {silent_s:.1f} s")
            return
        quiet_s = now - link.sent_at
        if quiet_s >= HEARTBEAT_S or (link.unanswered and quiet_s >= TICK_S and silent_s >= TICK_S):
            self._make_ready(link)
