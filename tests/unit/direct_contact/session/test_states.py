from __future__ import annotations

import pytest

from direct_contact.session import states
from direct_contact.session.states import CLIENT, SERVER, ClientState, ServerState
from foundation.errors import ProtocolViolation


def test_step_follows_the_table() -> None:
    for (state, event), expected in CLIENT.items():
        assert states.step(CLIENT, state, event) is expected
    for (server, event), then in SERVER.items():
        assert states.step(SERVER, server, event) is then


def test_step_refuses_what_the_table_does_not_have() -> None:
    events = {event for _, event in CLIENT}
    for state in ClientState:
        for event in events:
            if (state, event) not in CLIENT:
                with pytest.raises(ProtocolViolation, match=state.value) as caught:
                    states.step(CLIENT, state, event)
                assert caught.value.code == "unexpected_message"


def test_every_state_but_the_last_can_be_left_and_is_reached() -> None:
    assert {state for state, _ in CLIENT} == set(ClientState) - {ClientState.ENDED}
    assert {state for state, _ in SERVER} == set(ServerState)
    assert set(CLIENT.values()) == set(ClientState)
    assert set(SERVER.values()) == set(ServerState) - {ServerState.AWAITING_HELLO}
