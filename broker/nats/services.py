"""Announcing an endpoint as a NATS service, so that `nats micro list|info|stats` show it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from nats import errors
from nats.micro.request import Request
from nats.micro.service import EndpointConfig, Service, ServiceConfig

from broker.nats.client import DirectClient
from broker.port import Delivery, Handler
from foundation.errors import InvalidInput, Unavailable

logger = logging.getLogger(__name__)

STOP_TIMEOUT_S = 5.0


async def announce(
    client: DirectClient,
    *,
    service: str,
    version: str,
    description: str,
    metadata: Mapping[str, str],
    endpoint: str,
    subject: str,
    queue: str,
    handler: Handler,
) -> Announced:
    """Subscribe `handler` and answer the service protocol's PING, INFO and STATS.

    Raises:
        InvalidInput: `service`, `version`, `subject` or `queue` is not what the protocol allows.
        Unavailable: the connection is closed or breaks meanwhile.
    """

    async def handle(request: Request) -> None:
        message = request._msg  # noqa: SLF001  # the reply subject has no other way out
        try:
            handler(Delivery(message.subject, message.data, message.reply))
        except Exception:
            client.failed += 1
            logger.exception("the handler of %s failed", subject)

    announced: Announced | None = None
    try:
        announced = Announced(
            Service(
                client,
                ServiceConfig(
                    name=service,
                    version=version,
                    description=description,
                    metadata=dict(metadata),
                ),
            )
        )
        await announced.service.start()
        await announced.service.add_endpoint(
            EndpointConfig(name=endpoint, handler=handle, subject=subject, queue_group=queue)
        )
        await client.settle(STOP_TIMEOUT_S)
    except ValueError as error:
        raise InvalidInput(f"service {service!r}: {error}") from error
    except BaseException as error:
        if announced is not None:
            await announced.unsubscribe()
        if isinstance(error, errors.Error):
            raise Unavailable(f"NATS: {error}", code="broker_closed") from error
        raise
    return announced


class Announced:
    """A running announcement; a `Subscription`."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._ended = False

    async def unsubscribe(self) -> None:
        """Withdraw it. Repeating it does nothing."""
        if self._ended:
            return
        self._ended = True
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self.service.stop()
        except (errors.Error, TimeoutError) as error:
            # The server forgets it with the connection.
            logger.debug("withdrawing a service: %s", error)
