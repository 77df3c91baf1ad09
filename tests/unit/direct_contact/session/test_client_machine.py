from __future__ import annotations

import pytest

from direct_contact.session import ClientMachine, ClientState, Cursor
from foundation.errors import ProtocolViolation


def opened(window_seq: int = 8, window_bytes: int = 100) -> ClientMachine[str]:
    machine: ClientMachine[str] = ClientMachine()
    machine.connected()
    machine.welcome(durable_seq=0, next_seq=1, window_seq=window_seq, window_bytes=window_bytes)
    return machine


def test_inputs_are_numbered_from_one_and_retained() -> None:
    machine = opened()
    assert [machine.submit(item, 1) for item in "abc"] == [1, 2, 3]
    kept = machine.retained(2)
    assert kept is not None
    assert (kept.seq, kept.item) == (2, "b")
    assert machine.retained(4) is machine.retained(0) is None
    assert machine.oldest_retained_seq == 1


def test_credit_is_needed_in_number_and_in_bytes() -> None:
    machine = opened(window_seq=2, window_bytes=10)
    assert machine.has_credit(1000), "one input may always be under way"
    machine.submit("a", 6)
    assert machine.has_credit(4)
    assert not machine.has_credit(5)
    machine.submit("b", 4)
    assert not machine.has_credit(0)
    machine.progress(durable_seq=1, window_seq=3, window_bytes=10)
    assert machine.has_credit(6)
    assert not machine.has_credit(7)


def test_credit_is_none_when_there_is_no_connection() -> None:
    machine: ClientMachine[str] = ClientMachine()
    assert not machine.has_credit(0)
    machine.connected()
    assert not machine.has_credit(0)
    machine.welcome(durable_seq=0, next_seq=1, window_seq=8, window_bytes=8)
    assert machine.has_credit(0)
    machine.disconnected()
    assert not machine.has_credit(0)


def test_progress_that_is_old_changes_nothing() -> None:
    machine = opened(window_seq=8)
    machine.submit("a", 1)
    machine.progress(durable_seq=1, window_seq=12, window_bytes=200)
    machine.progress(durable_seq=0, window_seq=9, window_bytes=50)
    assert (machine.durable_seq, machine.window_seq, machine.window_bytes) == (1, 12, 200)
    assert machine.retained(1) is None
    assert machine.oldest_retained_seq == 2


def test_welcome_gives_what_is_to_be_sent_again() -> None:
    machine = opened()
    for item in "abcd":
        machine.submit(item, 1)
    machine.disconnected()
    machine.connected()
    again = machine.welcome(durable_seq=1, next_seq=3, window_seq=9, window_bytes=100)
    assert [kept.item for kept in again] == ["c", "d"]
    assert machine.retained(2) is not None
    assert machine.retained(1) is None


def test_welcome_sets_the_window_anew() -> None:
    machine = opened(window_seq=50)
    machine.disconnected()
    machine.connected()
    machine.welcome(durable_seq=0, next_seq=1, window_seq=8, window_bytes=10)
    assert (machine.window_seq, machine.window_bytes) == (8, 10)


def test_welcome_is_refused_when_it_wants_what_was_never_sent() -> None:
    machine: ClientMachine[str] = ClientMachine()
    machine.connected()
    with pytest.raises(ProtocolViolation, match="from 5, but the next one is 1"):
        machine.welcome(durable_seq=4, next_seq=5, window_seq=9, window_bytes=9)


def test_outputs_are_taken_once_and_in_order() -> None:
    machine = opened()
    for item in "abc":
        machine.submit(item, 1)
    assert machine.receive(1, 0, True)
    assert machine.receive(2, 0, False)
    assert not machine.receive(1, 0, True)
    assert not machine.receive(2, 0, False)
    assert machine.receive(2, 1, True)
    assert machine.due == Cursor(3, 0)
    assert machine.duplicates == 2


@pytest.mark.parametrize(("seq", "part"), [(2, 0), (1, 1), (9, 0)])
def test_output_is_refused_when_one_is_missing_before_it(seq: int, part: int) -> None:
    machine = opened()
    machine.submit("a", 1)
    machine.submit("b", 1)
    with pytest.raises(ProtocolViolation, match=r"where \(1, 0\) was due"):
        machine.receive(seq, part, True)


def test_output_is_refused_when_nothing_was_asked() -> None:
    with pytest.raises(ProtocolViolation, match="never sent"):
        opened().receive(1, 0, True)


def test_acknowledgement_is_given_once_for_each_change() -> None:
    machine = opened()
    machine.submit("a", 1)
    machine.submit("b", 1)
    assert machine.acknowledgement() is None
    machine.receive(1, 0, False)
    assert machine.outputs_unacknowledged == 1
    assert machine.acknowledgement() == Cursor(1, 1)
    assert machine.acknowledgement() is None
    machine.receive(1, 1, True)
    machine.receive(2, 0, True)
    assert machine.outputs_unacknowledged == 2
    assert machine.acknowledgement() == Cursor(3, 0)
    assert machine.outputs_unacknowledged == 0


def test_hello_acknowledges() -> None:
    machine = opened()
    machine.submit("a", 1)
    machine.receive(1, 0, True)
    machine.disconnected()
    machine.connected()
    assert machine.acknowledgement() is None


def test_loss_skips_what_was_due_and_forgets_what_was_retained() -> None:
    machine = opened()
    for item in "abcde":
        machine.submit(item, 1)
    machine.receive(1, 0, True)
    machine.receive(2, 0, False)
    assert machine.lose(3) == range(2, 4)
    assert machine.due == Cursor(4, 0)
    assert machine.oldest_retained_seq == 4
    assert machine.receive(4, 0, True)
    assert machine.lose(3) == range(5, 4)


def test_loss_counts_answers_that_were_due_before_the_range() -> None:
    machine = opened()
    for item in "abcd":
        machine.submit(item, 1)
    # Outputs go on after 3: nothing will answer 1 any more.
    assert machine.lose(3) == range(1, 4)


def test_loss_of_what_was_answered_fails_nothing() -> None:
    machine = opened()
    for item in "ab":
        machine.submit(item, 1)
        machine.receive(machine.next_seq - 1, 0, True)
    assert list(machine.lose(1)) == []
    assert machine.due == Cursor(3, 0)


def test_end_lets_everything_go() -> None:
    machine = opened()
    machine.submit("a", 1)
    machine.end()
    machine.end()
    machine.disconnected()
    assert machine.state is ClientState.ENDED
    assert machine.retained(1) is None
    with pytest.raises(ProtocolViolation):
        machine.connected()
