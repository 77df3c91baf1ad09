"""The address where clients stream to one hub, from its first client to its last."""

from __future__ import annotations

import ssl

from direct_contact.gateway.hub import Hub
from direct_contact.gateway.settings import GatewaySettings
from direct_contact.gateway.sockets import SocketLimits
from direct_contact.gateway.websocket_server import WebSocketServer
from foundation.errors import InvalidInput
from foundation.process import bound_port_error


class Endpoint:
    """Sockets for a hub. The caller runs the hub meanwhile."""

    def __init__(self, hub: Hub, settings: GatewaySettings) -> None:
        self._hub = hub
        self._settings = settings
        self._server = WebSocketServer(
            hub.admit,
            SocketLimits(
                max_message_bytes=hub.max_frame_bytes,
                max_buffered_bytes=settings.gateway_max_buffered_bytes,
            ),
        )

    async def listen(self) -> int:
        """Take clients from now on; returns the port.

        Raises:
            InvalidInput: the certificate cannot be used.
            OSError: the port is in use.
        """
        own = self._settings
        tls = _tls(own)
        try:
            return await self._server.listen(own.gateway_host, own.gateway_port, tls)
        except OSError as error:
            raise bound_port_error(
                "the stream endpoint",
                own.gateway_host,
                own.gateway_port,
                "--gateway-port (DC_GATEWAY_PORT)",
                error,
            ) from None

    async def drain(self) -> None:
        """Take no more clients, send those that are here elsewhere, and close."""
        self._hub.draining = True
        self._server.stop_accepting()
        await self._hub.drain()
        await self._hub.links.flush()
        await self._server.close()


def _tls(own: GatewaySettings) -> ssl.SSLContext | None:
    if not own.gateway_tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(own.gateway_tls_cert, own.gateway_tls_key or None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            f"--gateway-tls-cert: {own.gateway_tls_cert} and --gateway-tls-key: "
            f"{own.gateway_tls_key} cannot be loaded: {error}"
        ) from None
    return context
