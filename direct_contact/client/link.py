"""The session's one task: keeps a socket up, moves frames, and comes back when it breaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from google.protobuf.message import DecodeError
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from direct_contact.client.closing import final_error
from direct_contact.client.conversation import Conversation
from direct_contact.client.dialing import Dialer
from direct_contact.client.errors import SessionClosed, SessionGone
from direct_contact.client.heartbeat import Heartbeat
from direct_contact.client.output import Notice, NoticeKind
from direct_contact.client.reconnecting import Backoff
from direct_contact.session import CloseCode
from direct_contact.session.close_codes import may_reconnect
from foundation.errors import DirectContactError, InternalError, ProtocolViolation, Unavailable
from protos.dc.v1 import stream_pb2 as pb

GOING_AWAY = 1001
"""This client leaves the socket; the session stays. A gateway ends a session by Bye alone."""
TRY_TIMEOUT_S = 10.0
MAX_OUTCOMES = 100

logger = logging.getLogger(__name__)


class Link:
    """Owns the socket of one conversation.

    Args:
        conversation: what moves over it.
        dialer: opens it.
        wakeup: set when the conversation has something to send.
        on_notice: told of every notice, on the event loop.
        open_timeout_s: how long the first Welcome may take, repeated tries included.
        welcome_timeout_s: how long a server may be silent between Hello and Welcome.
    """

    def __init__(
        self,
        conversation: Conversation,
        dialer: Dialer,
        wakeup: asyncio.Event,
        on_notice: Callable[[Notice], None],
        *,
        open_timeout_s: float,
        welcome_timeout_s: float,
    ) -> None:
        self.worker = ""
        self.epoch = 0
        self.welcome = asyncio.Event()
        """Set while the socket is up and welcomed, and once the session is over."""
        self._conversation = conversation
        self._dialer = dialer
        self._wakeup = wakeup
        self._on_notice = on_notice
        self._open_timeout_s = open_timeout_s
        self._loop = asyncio.get_running_loop()
        self._heartbeat = Heartbeat(self._loop, conversation.ping, silent_s=welcome_timeout_s)
        self._backoff = Backoff()
        self._resume_ttl_s = 0.0
        self._welcomed = False
        self._lost = (0, 0)
        self._told: pb.Error | None = None
        self._leave_timer: asyncio.TimerHandle | None = None
        self._leaving = False

    # ------------------------------------------------------------ from the first try to the last

    async def run(self) -> None:
        """Keep connected until the session ends, and tell the conversation why it did.

        Cancelling it closes the socket and leaves the session to be resumed.
        """
        try:
            await self._keep_connected()
        except DirectContactError as error:
            self._end(error)
        except Exception as error:
            logger.exception("the client of a session failed")
            self._end(InternalError(f"the client failed: {error!r}"))

    def _end(self, error: DirectContactError) -> None:
        self._conversation.end(error)
        self.welcome.set()

    async def _keep_connected(self) -> None:
        give_up_at = self._loop.time() + self._open_timeout_s
        while True:
            connection = await self._dial(give_up_at)
            await self._use(connection)
            code = connection.close_code
            if self._conversation.said_bye:
                raise SessionClosed("the session was closed by this client")
            if not may_reconnect(code):
                raise final_error(code, connection.close_reason or "", self._told)
            self._dialer.superseded = code == CloseCode.SUPERSEDED
            if self._welcomed:
                self._backoff.reset()
                give_up_at = self._loop.time() + self._resume_ttl_s
            if not self._leaving:
                asked_s = self._told.retry_after_ms / 1000 if self._told is not None else 0.0
                await asyncio.sleep(self._backoff.next_delay_s(at_least_s=asked_s))

    async def _dial(self, give_up_at: float) -> ClientConnection:
        while True:
            try:
                async with asyncio.timeout_at(min(give_up_at, self._loop.time() + TRY_TIMEOUT_S)):
                    return await self._dialer.dial()
            except TimeoutError:
                trouble = Unavailable("the stream's handshake took too long", code="timeout")
            except Unavailable as error:
                trouble = error
            delay_s = self._backoff.next_delay_s(at_least_s=trouble.retry_after_s or 0.0)
            if self._loop.time() + delay_s >= give_up_at:
                if not self._resume_ttl_s:
                    raise trouble
                raise SessionGone(
                    f"not resumed within {self._resume_ttl_s:g} s: {trouble.message}",
                    code="resume_timeout",
                ) from trouble
            await asyncio.sleep(delay_s)

    # ------------------------------------------------------------ one socket

    async def _use(self, connection: ClientConnection) -> None:
        """Greet, and move frames until the socket is closed.

        Raises:
            ProtocolViolation: the server broke the rules; the socket is closed with 4501.
        """
        self._welcomed = self._leaving = False
        self._told = None
        close_code, reason = GOING_AWAY, ""
        hello = self._conversation.hello(self.epoch)
        self._heartbeat.start(connection.transport.abort)
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write(connection))
                await self._read(connection, hello)
                writer.cancel()
        except ExceptionGroup as failures:
            failure = failures.exceptions[0]
            if isinstance(failure, DirectContactError):
                close_code, reason = CloseCode.PROTOCOL, failure.message[:100]
            raise failure from None
        finally:
            self.welcome.clear()
            self._heartbeat.stop()
            if self._leave_timer is not None:
                self._leave_timer.cancel()
                self._leave_timer = None
            self._conversation.disconnected()
            await connection.close(close_code, reason)

    async def _read(self, connection: ClientConnection, hello: bytes) -> None:
        stats = self._conversation.stats
        heartbeat = self._heartbeat
        try:
            await connection.send(hello)
            stats.connects += 1
            stats.frames_sent += 1
            while True:
                message = await connection.recv()
                heartbeat.received_at = self._loop.time()
                stats.frames_received += 1
                stats.bytes_received += len(message)
                if isinstance(message, str):
                    raise ProtocolViolation("the server sent a text frame")
                self._take(message)
        except ConnectionClosed:
            return

    async def _write(self, connection: ClientConnection) -> None:
        conversation = self._conversation
        stats = conversation.stats
        wakeup = self._wakeup
        try:
            while True:
                # What wakes in this turn of the loop shares a frame.
                wakeup.clear()
                while (frame := conversation.next_frame()) is not None:
                    await connection.send(frame)
                    self._heartbeat.sent_at = self._loop.time()
                    stats.frames_sent += 1
                    stats.bytes_sent += len(frame)
                if self._leaving:
                    await connection.close(GOING_AWAY)
                    return
                await wakeup.wait()
        except ConnectionClosed:
            return

    # ------------------------------------------------------------ frames that concern the link

    def _take(self, message: bytes) -> None:
        try:
            frame = pb.ServerFrame.FromString(message)
        except DecodeError as error:
            raise ProtocolViolation(f"{len(message)} bytes are no ServerFrame") from error
        self._conversation.take(frame)
        if frame.HasField("welcome"):
            self._on_welcome(frame.welcome)
        if frame.HasField("notice"):
            self._notice(frame.notice)
        if frame.HasField("error"):
            self._told = frame.error

    def _on_welcome(self, welcome: pb.Welcome) -> None:
        stats = self._conversation.stats
        if self._resume_ttl_s:
            stats.reconnects += 1
        self._welcomed = True
        self._resume_ttl_s = max(welcome.resume_ttl_ms, 1) / 1000
        self._dialer.welcomed(welcome.resume_token)
        self._heartbeat.welcomed(welcome.ping_interval_ms / 1000)
        self.worker, self.epoch = welcome.worker, welcome.epoch
        outcome = pb.Outcome.Name(welcome.outcome) if welcome.outcome <= 4 else "OUTCOME_UNKNOWN"
        if len(stats.outcomes) < MAX_OUTCOMES:
            stats.outcomes.append(outcome.removeprefix("OUTCOME_").lower())
        if welcome.outcome == pb.OUTCOME_LOST:
            self._tell(
                Notice(
                    NoticeKind.LOST,
                    worker=welcome.worker,
                    epoch=welcome.epoch,
                    lost_from=welcome.lost_from,
                    lost_to=welcome.lost_to,
                )
            )
        self.welcome.set()

    def _notice(self, wire: pb.Notice) -> None:
        kind = KINDS.get(wire.kind, NoticeKind.UNKNOWN)
        if wire.worker:
            self.worker = wire.worker
        self.epoch = max(self.epoch, wire.epoch)
        if kind is NoticeKind.DRAINING and self._leave_timer is None:
            # Everybody on that gateway was told at once: not all may come to the next at once.
            within_s = wire.reconnect_after_ms / 1000
            self._leave_timer = self._loop.call_later(self._backoff.spread_s(within_s), self._leave)
        self._tell(
            Notice(
                kind,
                worker=wire.worker,
                epoch=wire.epoch,
                reconnect_after_ms=wire.reconnect_after_ms,
                lost_from=wire.lost_from,
                lost_to=wire.lost_to,
            )
        )

    def _leave(self) -> None:
        self._leaving = True
        self._wakeup.set()

    def _tell(self, notice: Notice) -> None:
        if notice.kind is NoticeKind.LOST:
            (lost_from, lost_to), told = (notice.lost_from, notice.lost_to), self._lost
            if told[0] <= lost_from and lost_to <= told[1]:
                # Nobody knew that it was told: the worker that did died before its checkpoint.
                return
            self._lost = (lost_from, lost_to)
        try:
            self._on_notice(notice)
        except Exception:
            logger.exception("on_notice failed for %s", notice)


KINDS = {
    pb.NOTICE_KIND_MIGRATED: NoticeKind.MIGRATED,
    pb.NOTICE_KIND_DRAINING: NoticeKind.DRAINING,
    pb.NOTICE_KIND_PAUSED: NoticeKind.PAUSED,
    pb.NOTICE_KIND_RESUMED: NoticeKind.RESUMED,
    pb.NOTICE_KIND_WAITING: NoticeKind.WAITING,
    pb.NOTICE_KIND_LOST: NoticeKind.LOST,
}
