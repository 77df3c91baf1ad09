"""All streams of one gateway, and the links to the workers that serve them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from broker import placement, subjects
from broker.links import Links
from broker.port import Broker
from broker.shared import Shared
from direct_contact.gateway import admission
from direct_contact.gateway.serving import Serving
from direct_contact.gateway.settings import GatewaySettings
from direct_contact.gateway.sockets import Refusal, SocketHandler, UpgradeRequest
from direct_contact.gateway.stats import GatewayStats
from direct_contact.gateway.stream import Stream
from direct_contact.session import CloseCode
from foundation.background import Background
from foundation.busy_poll import BusyPoll
from foundation.clock import Monotonic, monotonic
from foundation.errors import DirectContactError
from foundation.pulse import Pulse
from protos.dc.internal.v1.envelope_pb2 import Detach, ToGateway, ToWorker
from registry.live import SessionRecord, SessionStore

logger = logging.getLogger(__name__)

ENVELOPE_OVERHEAD_BYTES: Final = 4096
SILENT_INTERVALS: Final = 3
RECONNECTS_PER_S: Final = 200
"""A drain asks for no more than this, half of what opening sessions was measured to bear."""
SHORTEST_DRAIN_S: Final = 0.1
CLOSING_S: Final = 6.0
"""A client may take its time to answer a close; see `SocketLimits.close_timeout_s`."""


def _nowhere(_: SessionRecord) -> str:
    return ""


class Hub:
    """Admits clients, keeps their streams, and hands what workers send to the right one.

    Args:
        name: new at each start.
        settings: of the gateway.
        broker: carries what goes to workers in other processes.
        store: the session store.
        poll: hears of what clients send.
        home: names the worker in this process, while it has room for the session; "": none.
    """

    def __init__(
        self,
        *,
        name: str,
        settings: GatewaySettings,
        broker: Broker,
        store: SessionStore,
        poll: BusyPoll,
        clock: Monotonic = monotonic,
        home: Callable[[SessionRecord], str] = _nowhere,
    ) -> None:
        self.name = name
        self.settings = settings
        self.store = store
        self.poll = poll
        self.now = clock
        self.stats = GatewayStats()
        self.streams: dict[str, Stream] = {}
        self.draining = False
        self.max_frame_bytes = min(
            settings.gateway_max_frame_bytes, broker.max_payload_bytes - ENVELOPE_OVERHEAD_BYTES
        )
        self.links = Links(
            broker,
            name=name,
            inbox=subjects.gateway_out(name),
            outbox=subjects.worker_in,
            undelivered=lambda worker: subjects.gateway_undelivered(name, worker),
            owner=self,
            silence_s=settings.gateway_worker_silence_s,
            clock=clock,
        )
        self._broker = broker
        self._home = home
        self._by_worker: Shared[Serving] = Shared()
        self._left = Pulse()
        self._background = Background(self._left.beat)

    # ------------------------------------------------------------ life

    async def run(self) -> None:
        """Carry frames until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.links.run(), name="links")
            tasks.create_task(self._close_silent(), name="silent-clients")

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run work that outlives the call; its failure is logged."""
        return self._background.spawn(work)

    async def drain(self) -> None:
        """Send every client elsewhere, spread over a while, then close what is left with 4001.

        The while grows with the number of streams, up to `gateway_drain_s`.
        """
        self.draining = True
        streams = tuple(self.streams.values())
        spread_s = len(streams) / RECONNECTS_PER_S
        window_s = min(self.settings.gateway_drain_s, SHORTEST_DRAIN_S + spread_s)
        for stream in streams:
            stream.drain(reconnect_after_ms=int(window_s * 1000))
        if not await self._empty(window_s):
            for stream in tuple(self.streams.values()):
                stream.close(CloseCode.DRAINING, "this gateway is going away")
            if not await self._empty(CLOSING_S):
                logger.warning("streams were cut", extra={"streams": len(self.streams)})

    async def _empty(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._left.until(lambda: not self.streams and not self._background)
        except TimeoutError:
            return False
        return True

    # ------------------------------------------------------------ admission

    async def admit(self, request: UpgradeRequest) -> SocketHandler | Refusal:
        """Redeem the request's credential; the acceptor of the WebSocket server."""
        if request.path.partition("?")[0] != admission.PATH:
            return Refusal(404, f"not_found: the stream is at {admission.PATH}")
        if self.draining or len(self.streams) >= self.settings.gateway_max_connections:
            self.stats.refused += 1
            reason = "draining" if self.draining else "full"
            return Refusal(503, f"{reason}: try again", (("Retry-After", "1"),))
        try:
            credential = admission.credential(request)
            admitted = await self.store.attach(credential.text, credential.kind, gateway=self.name)
        except DirectContactError as error:
            self.stats.refused += 1
            logger.info("stream refused", extra={"code": error.code, "peer": request.peer})
            return admission.refusal(error)
        self.stats.accepted += 1
        return Stream(self, admitted)

    # ------------------------------------------------------------ streams

    def add(self, stream: Stream) -> None:
        """A stream opened; an older one of the same session loses it."""
        older = self.streams.get(stream.session)
        self.streams[stream.session] = stream
        if older is not None:
            self.leave(older.serving)
            older.close(CloseCode.SUPERSEDED, "another connection took the session")

    def remove(self, stream: Stream) -> bool:
        """A stream closed. False: a newer one has the session already."""
        self.leave(stream.serving)
        if self.streams.get(stream.session) is not stream:
            return False
        del self.streams[stream.session]
        self._left.beat()
        return True

    def join(self, serving: Serving) -> None:
        """`serving.worker` serves its stream now."""
        self._by_worker.add(serving.worker, serving)

    def leave(self, serving: Serving) -> None:
        """`serving.worker` does not serve its stream any more."""
        self._by_worker.remove(serving.worker, serving)

    async def end(self, session: str, reason: str) -> None:
        """End a session that no worker serves now."""
        await self.store.end(session, epoch=None, reason=reason)

    async def place(self, serving: Serving, avoid: frozenset[str]) -> str:
        """A worker for the session: the one at home, or see `placement.place`."""
        record = serving.admitted.record
        home = self._home(record)
        # Not to one that just served it, or was asked: it may have sent the session away.
        if home and home != serving.worker:
            return home
        offer = await placement.place(
            self._broker, pool=record.pool, network=record.network_key, avoid=avoid
        )
        return offer.worker

    # ------------------------------------------------------------ what the links tell

    def receive(self, peer: str, items: Sequence[ToGateway]) -> None:
        """Hand each item to its stream; tell the worker of those that are not here any more."""
        streams = self.streams
        for item in items:
            stream = streams.get(item.session)
            if stream is not None and (serving := stream.serving).attachment == item.attachment:
                serving.receive(peer, item)
                continue
            self.stats.stale_envelopes += 1
            if not item.HasField("released"):
                self.links.send(
                    peer,
                    ToWorker(
                        session=item.session,
                        epoch=item.epoch,
                        attachment=item.attachment,
                        detach=Detach(),
                    ),
                )

    def gap(self, peer: str) -> None:
        """Items of a worker were lost: ask again for what its sessions still owe."""
        for serving in self._by_worker.of(peer):
            serving.gap()

    def gone(self, peer: str, reason: str) -> None:
        """A worker died or froze: its sessions move."""
        served = self._by_worker.forget(peer)
        if served:
            logger.warning(
                "worker gone", extra={"worker": peer, "sessions": len(served), "reason": reason}
            )
        self.stats.takeovers += len(served)
        for serving in served:
            serving.gone(reason)

    def shares(self, peer: str) -> bool:
        """True while sessions of this gateway are served by `peer`."""
        return peer in self._by_worker

    @property
    def workers(self) -> int:
        """How many workers serve sessions of this gateway."""
        return len(self._by_worker)

    async def _close_silent(self) -> None:
        interval_s = self.settings.gateway_ping_interval_s
        while True:
            await asyncio.sleep(interval_s / 3)
            heard_before = self.now() - SILENT_INTERVALS * interval_s
            for stream in tuple(self.streams.values()):
                if stream.heard_at < heard_before:
                    stream.close(
                        CloseCode.SILENT,
                        f"nothing was heard for {SILENT_INTERVALS * interval_s:g} s",
                    )
