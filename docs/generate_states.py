"""The state diagrams of the stream, from the tables that the machines run on."""

from __future__ import annotations

from collections.abc import Mapping

from direct_contact.session.states import CLIENT, SERVER, ClientState, ServerState, StateT


def client_states() -> str:
    """The client's end of a session, as a mermaid diagram."""
    return _diagram(CLIENT, ClientState.DISCONNECTED, ClientState.ENDED)


def server_states() -> str:
    """The gateway's end of one attachment, as a mermaid diagram."""
    return _diagram(SERVER, ServerState.AWAITING_HELLO, ServerState.CLOSED)


def _diagram(table: Mapping[tuple[StateT, str], StateT], first: StateT, last: StateT) -> str:
    lines: list[str] = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first.value}"]
    for (state, event), following in table.items():
        lines.append(f"    {state.value} --> {following.value}: {event}")
    return "\n".join([*lines, f"    {last.value} --> [*]", "```"])
