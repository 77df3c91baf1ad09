"""Which commands of a stream are given to its worker again."""

from __future__ import annotations

import pytest

from direct_contact.gateway.unanswered import LIMIT, Unanswered
from foundation.errors import LimitExceeded
from protos.dc.v1.stream_pb2 import Cancel, ClientFrame, Command, Input


def keep(unanswered: Unanswered, frame: ClientFrame) -> bytes:
    data = frame.SerializeToString()
    unanswered.keep(frame, data)
    return data


def command(command_id: str) -> ClientFrame:
    return ClientFrame(command=Command(command_id=command_id))


def test_unanswered_gives_frames_as_they_came_when_asked_again() -> None:
    unanswered = Unanswered()
    first = keep(unanswered, ClientFrame(command=Command(command_id="a"), cancel=Cancel(seq=3)))
    second = keep(unanswered, command("b"))
    assert list(unanswered) == [first, second]


def test_unanswered_keeps_no_inputs_when_they_came_with_the_command() -> None:
    unanswered = Unanswered()
    keep(unanswered, ClientFrame(command=Command(command_id="a"), inputs=[Input(seq=1)]))
    assert list(unanswered) == [command("a").SerializeToString()]


def test_unanswered_forgets_a_command_when_it_is_answered() -> None:
    unanswered = Unanswered()
    keep(unanswered, command("a"))
    unanswered.answered("a")
    unanswered.answered("never asked")
    assert not list(unanswered)


def test_unanswered_refuses_one_more_when_it_is_full() -> None:
    unanswered = Unanswered()
    for number in range(LIMIT):
        keep(unanswered, command(str(number)))
    with pytest.raises(LimitExceeded, match=f"{LIMIT} may be unanswered"):
        keep(unanswered, command("one more"))
    keep(unanswered, command("0"))
    assert len(list(unanswered)) == LIMIT
