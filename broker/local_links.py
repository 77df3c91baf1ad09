"""A link between a gateway and a worker that share a process: items go over as they are.

Nothing is serialized, nothing can be lost, and items arrive in order. An item is received inside
the call that sends it, which saves a turn of the event loop. What its receiver sends back waits for
the next turn: nobody is called back from inside a call of their own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.envelopes import Item
    from broker.links import LinkOwner

logger = logging.getLogger(__name__)


class Receiving:
    """Whether one of the two owners is receiving now; both directions of a link share it."""

    __slots__ = ("busy",)

    def __init__(self) -> None:
        self.busy = False


class LocalLink:
    """One direction, from `sender` to `receiver`. What is sent belongs to the receiver.

    What waits is bounded as on every link: by the credits of the sessions.
    """

    __slots__ = ("_receiver", "_receiving", "_sender", "_waiting")

    def __init__(self, sender: str, receiver: LinkOwner, receiving: Receiving) -> None:
        self._sender = sender
        self._receiver = receiver
        self._receiving = receiving
        self._waiting: list[Item] = []

    def send(self, item: Item) -> None:
        """Hand the item over, now or in the next turn of the event loop."""
        if not self._receiving.busy and not self._waiting:
            self._hand_over((item,))
            return
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._hand_over_waiting)
        self._waiting.append(item)

    def _hand_over_waiting(self) -> None:
        items, self._waiting = self._waiting, []
        self._hand_over(items)

    def _hand_over(self, items: Sequence[Item]) -> None:
        self._receiving.busy = True
        try:
            self._receiver.receive(self._sender, items)
        except Exception:
            # As over a broker: what the receiver fails at is no failure of the sender.
            logger.exception("what %s sent could not be received", self._sender)
        finally:
            self._receiving.busy = False
