"""The session protocol without I/O: numbers and opaque items in, decisions out.

No clock, socket, task, log or wire format lives here; shells feed these machines and carry out
what they decide, so that the same rules run in the client, in the gateway and in the tests.
"""

from direct_contact.session.client import ClientMachine, Retained
from direct_contact.session.close_codes import CloseCode
from direct_contact.session.cursor import START, Cursor, after, before
from direct_contact.session.server import Delivery, ServerMachine
from direct_contact.session.states import ClientState, ServerState

__all__ = [
    "START",
    "ClientMachine",
    "ClientState",
    "CloseCode",
    "Cursor",
    "Delivery",
    "Retained",
    "ServerMachine",
    "ServerState",
    "after",
    "before",
]
