"""Which worker serves a session: ask two at random for offers, take the freer one.

Two random choices keep the fullest worker within O(log log n) of the mean, at a cost that does not
grow with the number of workers: M. Mitzenmacher, "The Power of Two Choices in Randomized Load
Balancing", IEEE TPDS 12(10), 2001.
"""

from __future__ import annotations

import random
from typing import Final

from broker import subjects
from broker.port import Broker
from foundation.errors import Unavailable
from protos.dc.internal.v1.envelope_pb2 import Offer, OfferRequest

CHOICES: Final = 2
OFFER_TIMEOUT_S: Final = 0.25
"""A live worker answers in under 2 ms; a frozen one must not hold up a takeover."""


async def place(
    broker: Broker,
    *,
    pool: str,
    network: str,
    avoid: frozenset[str] = frozenset(),
    direct: bool = False,
) -> Offer:
    """The offer of the worker to attach to.

    Args:
        broker: asks.
        pool: whose workers are asked.
        network: ``tenant.network.version``; a worker that has it loaded wins a tie.
        avoid: workers that failed this session a moment ago.
        direct: ask only workers that have a stream endpoint of their own.

    Raises:
        Unavailable: no worker offered itself (`no_worker`), those that did are full
            (`workers_full`), or the broker is away.
    """
    answers = await broker.gather(
        subjects.direct_offers(pool) if direct else subjects.offers(pool),
        OfferRequest(network=network).SerializeToString(),
        copies=CHOICES,
        timeout_s=OFFER_TIMEOUT_S,
    )
    offers = [Offer.FromString(answer) for answer in answers]
    usable = [offer for offer in offers if offer.free > 0 and offer.worker not in avoid]
    if not usable:
        full = bool(offers) and all(offer.free <= 0 for offer in offers)
        what = " with a stream endpoint of its own" if direct else ""
        raise Unavailable(
            f"every worker{what} asked in the pool '{pool}' is full"
            if full
            else f"no worker{what} is available in the pool '{pool}'",
            code="workers_full" if full else "no_worker",
            retry_after_s=1.0,
        )
    return max(usable, key=lambda offer: (offer.free, offer.warm, random.random()))  # noqa: S311
