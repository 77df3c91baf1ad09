"""Commands to a session, and what becomes of their answers."""

from __future__ import annotations

import uuid
from typing import Any

from direct_contact.client.rest import RestConnection
from foundation.errors import InternalError


async def command_by_rest(
    rest: RestConnection, session: str, kind: str, after_seq: int, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Send a command by REST; returns its result, with `after_seq`."""
    body = {
        "type": kind,
        "arguments": arguments,
        "after_seq": after_seq,
        # Repeating a call that broke off repeats the answer, not the effect.
        "command_id": str(uuid.uuid4()),
    }
    answer = await rest.json("POST", f"sessions/{session}/commands", body=body, idempotent=False)
    result = answer.pop("result", None)
    return {**answer, **result} if isinstance(result, dict) else answer


def new_version(result: dict[str, Any]) -> int:
    """The version that a snapshot made, from the command's result."""
    try:
        return int(result["version"])
    except (KeyError, TypeError, ValueError) as error:
        raise InternalError(f"snapshot: no version in the answer {result}") from error
