"""Where the sessions of a draining worker go: asked once for all of them, not by each of them."""

from __future__ import annotations

import logging
from typing import Final

from broker import subjects
from broker.port import Broker
from foundation.errors import DirectContactError
from protos.dc.internal.v1.envelope_pb2 import Offer, OfferRequest

logger = logging.getLogger(__name__)

ASKED: Final = 8
"""Requests for offers; workers answer them at random, so some may answer several."""
TIMEOUT_S: Final = 0.1
"""A live worker answers in under 2 ms. Nobody's session stands still meanwhile."""


async def destinations(broker: Broker, pool: str) -> list[str]:
    """Live workers of the pool that have room, the freest first.

    Empty where none offers itself, or the broker is away: each session's gateway looks for one.
    """
    request = OfferRequest().SerializeToString()
    try:
        answers = await broker.gather(
            subjects.offers(pool), request, copies=ASKED, timeout_s=TIMEOUT_S
        )
    except DirectContactError as error:
        logger.info("nobody was asked to take the sessions: %s", error.message)
        return []
    free = {offer.worker: offer.free for offer in map(Offer.FromString, answers)}
    return sorted((worker for worker in free if free[worker] > 0), key=lambda name: -free[name])
