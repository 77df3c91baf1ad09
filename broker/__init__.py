"""The broker: subjects, ports, and the adapters behind them."""

from broker.port import BlobEntry, Blobs, Broker, Delivery, Handler, Subscription

__all__ = ["BlobEntry", "Blobs", "Broker", "Delivery", "Handler", "Subscription"]
