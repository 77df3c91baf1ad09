"""The client for notebooks and scripts: the same names, called without ``await``.

One thread runs the asynchronous client; every call here waits for it. Any thread may call.
"""

from direct_contact.client.blocking.client import BlockingClient
from direct_contact.client.blocking.session import BlockingSession

__all__ = ["BlockingClient", "BlockingSession"]
