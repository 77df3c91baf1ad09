"""One try to open the session's WebSocket, with the credential of the moment."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from direct_contact.client.errors import SessionGone
from direct_contact.client.rest import ERRORS, retry_after_s
from foundation.errors import (
    CallerError,
    Conflict,
    DirectContactError,
    InvalidInput,
    NotFound,
    Unauthenticated,
    Unavailable,
)

SUBPROTOCOL: Final = Subprotocol("dc.v1")
MAX_MESSAGE_BYTES = 64 << 20
CLOSE_TIMEOUT_S = 1.0
DIRECT_TIMEOUT_S = 2.0
"""A worker that does not answer the handshake for so long is frozen, or its machine is gone."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ticket:
    """Where to connect, and with what the first time."""

    url: str
    ticket: str
    fallback_url: str = ""
    """A gateway's, where `url` is a worker's own."""

    @classmethod
    def of(cls, stream: Mapping[str, Any]) -> Ticket:
        """As the API answers."""
        return cls(str(stream["url"]), str(stream["ticket"]), str(stream.get("fallback_url") or ""))


class Dialer:
    """Opens sockets for one session: by ticket first, by resume token from then on.

    A credential that is refused is replaced by a new ticket once; when that one is refused too, or
    when somebody else took the session over, there is no way back. Where a worker's own endpoint
    does not answer, the same try goes on to the gateway, and once that has answered, stays there:
    the session has moved, or will.

    Args:
        ticket: that came with the session.
        mint: makes another one.
        tls: for ``wss``; None: the system's certificates.
    """

    def __init__(
        self,
        ticket: Ticket,
        mint: Callable[[], Awaitable[Ticket]],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.superseded = False
        """Another attachment has the session: nothing but the resume token may win it back."""
        self._ticket = ticket
        self._credential = f"dc.ticket.{ticket.ticket}"
        self._mint = mint
        self._tls = tls
        self._minted = False
        self._welcomed = False

    def welcomed(self, resume_token: str) -> None:
        """A Welcome came: the next socket is opened by its token."""
        self._credential = f"dc.resume.{resume_token}" if resume_token else ""
        self._minted = False
        self._welcomed = True
        self.superseded = False

    async def dial(self) -> ClientConnection:
        """One try.

        Raises:
            Unavailable: it may work later; `retry_after_s` says when, if the server did.
            DirectContactError: it never will.
        """
        while True:
            if not self._credential:
                await self._mint_ticket()
            connection = await self._dial_either()
            if connection is not None:
                return connection

    async def _dial_either(self) -> ClientConnection | None:
        url, fallback_url = self._ticket.url, self._ticket.fallback_url
        if not fallback_url:
            return await self._dial(url)
        try:
            async with asyncio.timeout(DIRECT_TIMEOUT_S):
                return await self._dial(url)
        except (SessionGone, Unauthenticated):
            raise
        except (TimeoutError, DirectContactError) as error:
            # One that refuses the request itself is something else, on a dead worker's port.
            logger.info("%s does not answer: through the gateway (%s)", url, error)
        connection = await self._dial(fallback_url)
        if connection is not None:
            self._ticket = replace(self._ticket, url=fallback_url, fallback_url="")
        return connection

    async def _dial(self, url: str) -> ClientConnection | None:
        """One address; None: the credential was refused, and a new ticket is worth a try."""
        try:
            connection = await connect(
                url,
                subprotocols=[SUBPROTOCOL, Subprotocol(self._credential)],
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                ping_interval=None,
                close_timeout=CLOSE_TIMEOUT_S,
                # The session's own deadline bounds the try.
                open_timeout=None,
                ssl=self._tls if url.startswith("wss:") else None,
            )
        except InvalidStatus as refusal:
            self._refused(url, refusal)
            return None
        except InvalidURI as error:
            raise InvalidInput(f"stream.url: {error}", field="stream.url") from error
        except (OSError, InvalidHandshake) as error:
            raise Unavailable(
                f"{url}: {str(error) or type(error).__name__}", code="stream_unreachable"
            ) from error
        if self._credential.startswith("dc.ticket."):
            # Spent; if the Welcome does not come, the next try needs another.
            self._credential = ""
        return connection

    def _refused(self, url: str, refusal: InvalidStatus) -> None:
        """Return when a new ticket may help."""
        response = refusal.response
        status = response.status_code
        detail = bytes(response.body or b"").decode(errors="replace").strip()[:200]
        told = f"{url}: HTTP status {status}" + (f": {detail}" if detail else "")
        if status == 401:
            if self.superseded:
                raise SessionGone(
                    "another connection has the session now", code="superseded"
                ) from refusal
            if self._minted:
                kind = SessionGone if self._welcomed else Unauthenticated
                raise kind(told, code="bad_ticket") from refusal
            self._credential = ""
            return
        transient = status >= 500 or status == 429
        raise (Unavailable if transient else ERRORS.get(status, CallerError))(
            told,
            code="stream_refused",
            retry_after_s=retry_after_s(response.headers.get("Retry-After")),
        ) from refusal

    async def _mint_ticket(self) -> None:
        self._minted = True
        try:
            ticket = await self._mint()
        except (NotFound, Conflict) as error:
            raise SessionGone(f"the session has ended: {error.message}") from error
        except DirectContactError as error:
            if error.retryable and not isinstance(error, Unavailable):
                raise Unavailable(error.message, code=error.code) from error
            raise
        self._ticket = ticket
        self._credential = f"dc.ticket.{ticket.ticket}"
