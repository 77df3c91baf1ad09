"""The broker's subjects. Their number grows with processes and pools, never with sessions."""

from __future__ import annotations

POOLS_CHANGED = "dc.pools.changed"
"""Told when the wanted number of replicas of a pool changes; JSON {"pool", "replicas"}."""


def worker_in(worker: str) -> str:
    """Where gateways send their `Envelope`s to one worker."""
    return f"dc.w.{worker}.in"


def worker_commands(worker: str) -> str:
    """Where the REST API sends a `CommandRequest` to one worker."""
    return f"dc.w.{worker}.cmd"


def gateway_out(gateway: str) -> str:
    """Where workers send their `Envelope`s to one gateway."""
    return f"dc.g.{gateway}.out"


def gateway_undelivered(gateway: str, worker: str) -> str:
    """Reply subject of what `gateway` sends to `worker`: the broker answers when nobody listens."""
    return f"dc.g.{gateway}.undelivered.{worker}"


def worker_undelivered(worker: str, gateway: str) -> str:
    """Reply subject of what `worker` sends to `gateway`: the broker answers when nobody listens."""
    return f"dc.w.{worker}.undelivered.{gateway}"


def offers(pool: str) -> str:
    """Where the workers of a pool, as one queue group, answer an `OfferRequest`."""
    return f"dc.pool.{pool}.offer"


def direct_offers(pool: str) -> str:
    """The same, where only those answer that have a stream endpoint of their own."""
    return f"dc.pool.{pool}.offer.direct"
