"""A session's life on the client: created, connected, left, found again and ended."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from direct_contact.client.conversation import Conversation
from direct_contact.client.dialing import Dialer, Ticket
from direct_contact.client.errors import SessionClosed
from direct_contact.client.link import Link
from direct_contact.client.output import Notice, SessionStats
from direct_contact.client.rest import RestConnection
from foundation.errors import Conflict, DirectContactError

Mode: TypeAlias = Literal["infer", "train"]
Route: TypeAlias = Literal["broker", "direct"]
OnNotice: TypeAlias = Callable[[Notice], None]

MAX_NOTICES = 100

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a client treats its sessions.

    Attributes:
        open_timeout_s: how long opening may take, repeated tries included.
        close_timeout_s: how long closing waits for the server's goodbye.
        welcome_timeout_s: how long a server may be silent between Hello and Welcome.
        max_unread: outputs that may wait for the iterator before `send` holds back.
    """

    open_timeout_s: float = 30.0
    close_timeout_s: float = 2.0
    welcome_timeout_s: float = 15.0
    max_unread: int = 16384


class AttachedSession:
    """A session's being there, at the server and over a socket; `Session` adds what it is for.

    Attributes and Args: see `Session` and `Client.session`.
    """

    def __init__(
        self,
        rest: RestConnection,
        network: str,
        *,
        version: int | str | None = None,
        mode: Mode = "infer",
        config: dict[str, Any] | None = None,
        route: Route | None = None,
        on_notice: OnNotice | None = None,
        options: SessionOptions | None = None,
    ) -> None:
        self.id = ""
        self.network = network
        self.version = version
        self.mode: Mode = mode
        self.notices: deque[Notice] = deque(maxlen=MAX_NOTICES)
        self._config = dict(config or {}) | ({"route": route} if route is not None else {})
        self._on_notice = on_notice
        self._options = options or SessionOptions()
        self._rest = rest
        self._wakeup = asyncio.Event()
        self._conversation_: Conversation | None = None
        self._link_: Link | None = None
        self._task: asyncio.Task[None] | None = None
        self._feeders: set[asyncio.Task[None]] = set()
        self._detached = False

    # ------------------------------------------------------------ open and close

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Create the session and connect to it; `async with` does this.

        Raises:
            Conflict: it was opened before.
            DirectContactError: it could not be; nothing of it is left.
        """
        if self._conversation_ is not None:
            raise Conflict("session: it was opened before; make another one")
        loop = asyncio.get_running_loop()
        self._conversation_ = Conversation(
            loop, self._wakeup.set, max_unread=self._options.max_unread
        )
        body: dict[str, Any] = {"network": self.network, "config": {**self._config}}
        body["config"].setdefault("mode", self.mode)
        if self.version is not None:
            body["version"] = self.version
        answer = await self._rest.json("POST", "sessions", body=body, idempotent=False)
        self.id = str(answer["session"]["id"])
        self.version = answer["session"].get("version", self.version)
        self._link_ = Link(
            self._conversation_,
            Dialer(Ticket.of(answer["stream"]), self._mint, tls=self._rest.tls),
            self._wakeup,
            self._notice,
            open_timeout_s=self._options.open_timeout_s,
            welcome_timeout_s=self._options.welcome_timeout_s,
        )
        try:
            await self._connect()
        except BaseException as failure:
            await self._stop_link()
            self._conversation_.end(SessionClosed(f"it could not be opened: {failure}"))
            await self._delete()
            raise

    async def attach(self) -> None:
        """Connect again after `detach`.

        Raises:
            Conflict: it is not detached.
            DirectContactError: it could not be resumed.
        """
        if not self._detached:
            raise Conflict("session: only a detached one can be attached")
        self._detached = False
        await self._connect()

    async def detach(self) -> None:
        """Close the socket and leave the session, to `attach` again within its resume time.

        What is under way stays so; leaving the ``async with`` block now does not end the session.
        """
        self._detached = True
        await self._stop_link()

    async def close(self) -> None:
        """End the session: nothing of it is kept, and whoever still waits gets SessionClosed.

        Repeating does nothing. A detached session stays where it is: only this end is cleaned up.
        """
        conversation = self._conversation_
        if conversation is None:
            return
        already_over = conversation.ending is not None
        try:
            if self._task is not None and not already_over and self._link.welcome.is_set():
                conversation.say_bye()
                await asyncio.wait({self._task}, timeout=self._options.close_timeout_s)
        finally:
            said_bye = self._task is not None and self._task.done() and conversation.said_bye
            await self._stop_link()
            conversation.end(SessionClosed("the session was closed by this client"))
            for feeder in tuple(self._feeders):
                feeder.cancel()
            if self._feeders:
                await asyncio.wait(self._feeders)
        if not (already_over or self._detached or said_bye):
            await self._delete()

    async def _connect(self) -> None:
        self._task = asyncio.create_task(self._link.run(), name=f"session {self.id}")
        await self._link.welcome.wait()
        ending = self._conversation.ending
        if ending is not None:
            raise ending

    async def _stop_link(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def _delete(self) -> None:
        try:
            await self._rest.call("DELETE", f"sessions/{self.id}")
        except DirectContactError as error:
            logger.info("session %s is left to expire: %s", self.id, error)

    async def _mint(self) -> Ticket:
        answer = await self._rest.json("POST", f"sessions/{self.id}/tickets", idempotent=False)
        return Ticket.of(answer.get("stream", answer))

    def _notice(self, notice: Notice) -> None:
        self.notices.append(notice)
        if self._on_notice is not None:
            self._on_notice(notice)

    # ------------------------------------------------------------ what it is

    @property
    def worker(self) -> str:
        """The worker that computes now, for people to read."""
        return self._link.worker

    @property
    def epoch(self) -> int:
        """How often the session has changed hands, as a number that only grows."""
        return self._link.epoch

    @property
    def connected(self) -> bool:
        """The socket is up and the server has welcomed it."""
        return self._link.welcome.is_set() and self._conversation.ending is None

    @property
    def stats(self) -> SessionStats:
        """What the session has done so far."""
        conversation = self._conversation
        conversation.stats.duplicates_dropped = conversation.machine.duplicates
        return conversation.stats

    @property
    def _conversation(self) -> Conversation:
        if self._conversation_ is None:
            raise SessionClosed("the session is not open: use 'async with'")
        return self._conversation_

    @property
    def _link(self) -> Link:
        if self._link_ is None:
            raise SessionClosed("the session is not open: use 'async with'")
        return self._link_
