"""A link between a gateway and a worker that share a process: items go over as they are.

What a link over the broker promises holds here too: items arrive in order, all that were sent in
one turn of the event loop together, and never inside the call that sent them, so that nobody is
called back in the middle of a change. Nothing is serialized, and nothing can be lost.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.links import Item, LinkOwner


class LocalLink:
    """One way, from `sender` to `receiver`. What is sent belongs to the receiver.

    The queue is bounded as that of every link: by the credits of the sessions.
    """

    __slots__ = ("_pending", "_receiver", "_sender")

    def __init__(self, sender: str, receiver: LinkOwner) -> None:
        self._sender = sender
        self._receiver = receiver
        self._pending: list[Item] = []

    def send(self, item: Item) -> None:
        """Hand the item over in the next turn of the event loop, with its neighbours."""
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._pending.append(item)

    def _hand_over(self) -> None:
        items, self._pending = self._pending, []
        self._receiver.receive(self._sender, items)
