"""The broker on NATS."""

from broker.nats.adapter import NatsBroker, connect
from broker.nats.blobs import NatsBlobs

__all__ = ["NatsBlobs", "NatsBroker", "connect"]
