"""The upgrade: from an HTTP request to whoever handles the stream, or to a refusal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from websockets.exceptions import NegotiationError
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from direct_contact.gateway.sockets import Acceptor, Refusal, SocketHandler, UpgradeRequest

logger = logging.getLogger(__name__)

SUBPROTOCOL: Final = Subprotocol("dc.v1")


def select_subprotocol(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Ours, where any is offered.

    Raises:
        NegotiationError: others are offered.
    """
    if offered and SUBPROTOCOL not in offered:
        raise NegotiationError(f"subprotocol {SUBPROTOCOL} is needed")
    return SUBPROTOCOL if offered else None


async def shake_hands(
    protocol: ServerProtocol,
    request: Request,
    acceptor: Acceptor,
    transport: asyncio.Transport | None,
) -> tuple[Response, SocketHandler | None]:
    """The response to send, and who handles the stream; None: it is refused.

    Args:
        protocol: checks the request.
        request: came on the transport.
        acceptor: is asked about a good one.
        transport: tells the peer's address; None: it is gone.
    """
    response: Response = protocol.accept(request)
    if response.status_code != 101:
        return response, None
    try:
        answer = await acceptor(_upgrade_request(request, transport))
    except Exception:
        # Whatever it is, it costs this client its handshake, and nobody else anything.
        logger.exception("a handshake failed")
        answer = Refusal(500, "internal error")
    if not isinstance(answer, Refusal):
        return response, answer
    response = protocol.reject(answer.status, answer.message + "\n")
    for name, value in answer.headers:
        response.headers[name] = value
    return response, None


def _upgrade_request(request: Request, transport: asyncio.Transport | None) -> UpgradeRequest:
    headers = request.headers
    offered = ",".join(headers.get_all("Sec-WebSocket-Protocol")).split(",")
    address = transport.get_extra_info("peername") if transport is not None else None
    return UpgradeRequest(
        path=request.path,
        subprotocols=tuple(name.strip() for name in offered if name.strip()),
        authorization=headers.get("Authorization", ""),
        peer=f"{address[0]}:{address[1]}" if address else "?",
    )
