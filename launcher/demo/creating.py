"""Step 1: a network, by REST."""

from __future__ import annotations

import secrets
from typing import Any

from direct_contact.client import Client, Network
from foundation.errors import Conflict
from launcher.demo.networks import DIGITS
from launcher.demo.screen import Screen

TITLE = "A network, created by REST"


async def create_digits(client: Client, screen: Screen) -> Network:
    """Create the network that is to learn the digits."""
    network = await create(client, DIGITS)
    layers = " → ".join(str(layer["units"]) for layer in DIGITS["layers"])
    screen.say(f"{network.name}, version {network.version}: 64 → {layers}, untrained")
    return network


async def create(client: Client, spec: dict[str, Any]) -> Network:
    """Create a network; under another name where an earlier demo in this directory took it."""
    try:
        return await client.create_network(spec)
    except Conflict:
        name = f"{spec['name']}-{secrets.token_hex(2)}"
        return await client.create_network({**spec, "name": name})
