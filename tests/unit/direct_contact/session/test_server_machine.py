from __future__ import annotations

import pytest

from direct_contact.session import Cursor, Delivery, ServerMachine, ServerState
from direct_contact.session.server import FRAMING_BYTES
from foundation.errors import LimitExceeded, ProtocolViolation


def greeted(
    *, seq: int = 0, part: int = 0, last: bool = False, oldest_retained_seq: int = 1
) -> ServerMachine:
    machine = ServerMachine()
    machine.hello(seq=seq, part=part, last=last, oldest_retained_seq=oldest_retained_seq)
    return machine


def opened(
    *,
    epoch: int = 1,
    wanted_seq: int = 1,
    durable_seq: int = 0,
    window_seq: int = 8,
    window_bytes: int = 1 << 30,
) -> ServerMachine:
    machine = greeted()
    machine.attached(
        epoch=epoch,
        wanted_seq=wanted_seq,
        durable_seq=durable_seq,
        window_seq=window_seq,
        window_bytes=window_bytes,
    )
    return machine


def move(machine: ServerMachine, **fields: int) -> list[bytes]:
    """Another worker takes over."""
    machine.worker_lost()
    given = {
        "epoch": 2,
        "wanted_seq": 1,
        "durable_seq": 0,
        "window_seq": 8,
        "window_bytes": 1 << 30,
    }
    return list(machine.attached(**(given | fields)))


def test_hello_tells_what_arrived_and_what_can_be_sent() -> None:
    machine = greeted(seq=4, part=1, last=False, oldest_retained_seq=3)
    assert machine.due == machine.acknowledged == Cursor(4, 2)
    assert machine.oldest_retained_seq == 3
    with pytest.raises(ProtocolViolation):
        machine.hello(seq=0, part=0, last=False, oldest_retained_seq=1)


def test_inputs_are_refused_before_the_welcome() -> None:
    for machine in (ServerMachine(), greeted()):
        with pytest.raises(ProtocolViolation, match="only after Welcome"):
            machine.accept(first_seq=1, count=1, frame=b"")


def test_inputs_are_passed_on_in_order() -> None:
    machine = opened()
    assert machine.accept(first_seq=1, count=3, frame=b"abc")
    assert machine.accept(first_seq=4, count=1, frame=b"d")
    assert machine.next_seq == 5
    assert list(machine.kept_from(3)) == [b"abc", b"d"]
    assert list(machine.kept_from(4)) == [b"d"]


@pytest.mark.parametrize(("seq", "code"), [(1, "seq_repeated"), (4, "seq_gap")])
def test_inputs_are_refused_when_one_is_repeated_or_left_out(seq: int, code: str) -> None:
    machine = opened()
    machine.accept(first_seq=1, count=2, frame=b"ab")
    with pytest.raises(ProtocolViolation, match=f"3 was due, {seq} came") as caught:
        machine.accept(first_seq=seq, count=1, frame=b"c")
    assert caught.value.code == code


def test_inputs_are_refused_beyond_the_window() -> None:
    machine = opened(window_seq=2)
    with pytest.raises(LimitExceeded, match="ends at 2, 3 came") as caught:
        machine.accept(first_seq=1, count=3, frame=b"abc")
    assert caught.value.code == "credit_exceeded"


def test_inputs_are_refused_beyond_the_bytes_but_one_may_always_come() -> None:
    machine = opened(window_bytes=4 * FRAMING_BYTES)
    machine.accept(first_seq=1, count=1, frame=bytes(20 * FRAMING_BYTES))
    with pytest.raises(LimitExceeded, match="bytes past the durable input") as caught:
        machine.accept(first_seq=2, count=1, frame=b"b")
    assert caught.value.code == "credit_exceeded"


def test_frame_that_is_durable_in_part_does_not_count_against_the_bytes() -> None:
    machine = opened(window_bytes=4 * FRAMING_BYTES)
    machine.accept(first_seq=1, count=4, frame=bytes(4 * FRAMING_BYTES))
    machine.progress(durable_seq=3, window_seq=8, window_bytes=4 * FRAMING_BYTES)
    machine.accept(first_seq=5, count=3, frame=bytes(3 * FRAMING_BYTES))
    assert next(iter(machine.kept_from(4))) == bytes(4 * FRAMING_BYTES)


def test_kept_frames_go_when_they_are_durable_as_a_whole() -> None:
    machine = opened()
    machine.accept(first_seq=1, count=2, frame=b"ab")
    machine.accept(first_seq=3, count=2, frame=b"cd")
    machine.progress(durable_seq=3, window_seq=8, window_bytes=9)
    assert list(machine.kept_from(1)) == [b"cd"]
    assert machine.retained_bytes == 2
    assert machine.oldest_retained_seq == 3
    machine.progress(durable_seq=4, window_seq=8, window_bytes=9)
    assert machine.retained_bytes == 0
    assert machine.oldest_retained_seq == 5


def test_what_the_worker_has_is_kept_and_not_passed_on() -> None:
    machine = opened(wanted_seq=4, durable_seq=1)
    assert machine.next_seq == 2
    assert not machine.accept(first_seq=2, count=2, frame=b"bc")
    assert machine.accept(first_seq=4, count=1, frame=b"d")
    # A frame with something new is passed on whole; the worker knows what it has.
    machine = opened(wanted_seq=3)
    assert machine.accept(first_seq=1, count=3, frame=b"abc")


def test_client_sends_again_from_what_it_has_when_a_checkpoint_was_lost() -> None:
    machine = greeted(seq=6, last=True, oldest_retained_seq=5)
    machine.attached(epoch=3, wanted_seq=7, durable_seq=0, window_seq=12, window_bytes=99)
    assert machine.next_seq == 5
    assert not machine.accept(first_seq=5, count=1, frame=b"e")


def test_moving_gives_the_frames_that_the_next_worker_needs() -> None:
    machine = opened()
    machine.accept(first_seq=1, count=1, frame=b"a")
    machine.accept(first_seq=2, count=1, frame=b"b")
    machine.worker_lost()
    assert machine.state is ServerState.MOVING
    assert not machine.accept(first_seq=3, count=1, frame=b"c"), "nobody is there to take it"
    frames = machine.attached(
        epoch=2, wanted_seq=2, durable_seq=0, window_seq=8, window_bytes=1 << 30
    )
    assert list(frames) == [b"b", b"c"]
    assert machine.next_seq == 4


def test_outputs_go_through_once() -> None:
    machine = opened()
    assert machine.deliver(Cursor(1, 0), Cursor(3, 0)) is Delivery.FORWARD
    assert machine.deliver(Cursor(1, 0), Cursor(3, 0)) is Delivery.DROP
    assert machine.deliver(Cursor(2, 0), Cursor(5, 0)) is Delivery.TRIM
    machine.trimmed(Cursor(5, 0))
    assert machine.deliver(Cursor(6, 0), Cursor(7, 0)) is Delivery.GAP
    assert machine.due == Cursor(5, 0)


def test_delivery_ends_the_wait_for_a_repetition() -> None:
    machine = opened()
    machine.syncing = True
    machine.deliver(Cursor(1, 0), Cursor(2, 0))
    assert not machine.syncing
    machine.syncing = True
    move(machine)
    assert not machine.syncing


def test_what_was_sent_is_not_what_arrived() -> None:
    machine = opened()
    machine.deliver(Cursor(1, 0), Cursor(4, 0))
    assert machine.acknowledged == Cursor(1, 0)
    machine.acknowledge(Cursor(3, 0))
    machine.acknowledge(Cursor(2, 0))
    assert machine.acknowledged == Cursor(3, 0)
    machine.acknowledge(Cursor(9, 0))
    assert machine.acknowledged == Cursor(4, 0), "nothing can arrive before it is sent"


def test_loss_moves_what_is_due_but_proves_no_arrival() -> None:
    machine = opened()
    machine.accept(first_seq=1, count=1, frame=b"a")
    move(machine, wanted_seq=4, durable_seq=3, lost_to=3)
    assert machine.due == Cursor(4, 0)
    assert machine.next_seq == 4
    assert machine.acknowledged == Cursor(1, 0)


def test_dropped_inputs_are_known_as_long_as_they_may_be_sent_again() -> None:
    machine = opened()
    machine.accept(first_seq=1, count=3, frame=b"abc")
    machine.dropped = {1, 2}
    machine.progress(durable_seq=2, window_seq=8, window_bytes=9)
    assert machine.dropped == {1, 2}, "the frame is kept for its last input"
    machine.progress(durable_seq=3, window_seq=8, window_bytes=9)
    assert machine.dropped == set()


def test_dropped_inputs_are_known_before_the_client_has_sent_them_again() -> None:
    machine = opened(wanted_seq=3)
    machine.dropped = {1}
    machine.progress(durable_seq=2, window_seq=8, window_bytes=9)
    assert machine.dropped == {1}


def test_closing_lets_everything_go_and_repeating_does_nothing() -> None:
    machine = opened()
    machine.accept(first_seq=1, count=1, frame=b"a")
    machine.closed()
    machine.closed()
    assert machine.retained_bytes == 0
    assert list(machine.kept_from(1)) == []
    with pytest.raises(ProtocolViolation):
        machine.worker_lost()
