"""Answers to the commands that the REST API sends to this worker."""

from __future__ import annotations

import asyncio
import logging

from google.protobuf.message import DecodeError

from ann_workers.hosting.host import Host
from broker.port import Broker, Delivery
from foundation.errors import NotFound
from protos.dc.internal.v1.envelope_pb2 import CommandReply, CommandRequest
from protos.dc.v1.stream_pb2 import CommandResult, Error

logger = logging.getLogger(__name__)


def on_command(broker: Broker, host: Host, delivery: Delivery) -> None:
    """Carry one out in the background; the reply subject is the asker's."""
    host.background.spawn(_answer(broker, host, delivery))


async def _answer(broker: Broker, host: Host, delivery: Delivery) -> None:
    try:
        request = CommandRequest.FromString(delivery.payload)
    except DecodeError:
        logger.warning("what came is not a CommandRequest")
        return
    session = host.sessions.get(request.session)
    if session is None:
        error = NotFound(f"session {request.session} is not held here", code="not_held")
        result = CommandResult(
            command_id=request.command.command_id,
            error=Error(code=error.code, message=error.message, retryable=True),
        )
    else:
        answer: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        host.desk.take(session, request.command, answer)
        result = await answer
    await broker.publish(delivery.reply, CommandReply(result=result).SerializeToString())
