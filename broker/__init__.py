"""The broker: subjects, ports, and the adapters behind them."""

from broker.port import Blobs, Broker, Delivery, Handler, Subscription

__all__ = ["Blobs", "Broker", "Delivery", "Handler", "Subscription"]
