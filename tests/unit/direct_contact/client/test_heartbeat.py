from __future__ import annotations

from collections.abc import Callable
from typing import Any

from direct_contact.client.heartbeat import Heartbeat


class Clock:
    """An event loop's timers, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Any:
        timer = (self.now + delay, callback)
        self.timers.append(timer)
        clock = self

        class Handle:
            def cancel(self) -> None:
                if timer in clock.timers:
                    clock.timers.remove(timer)

        return Handle()

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self.timers and min(self.timers)[0] <= end:
            timer = min(self.timers, key=lambda one: one[0])
            self.timers.remove(timer)
            self.now = max(self.now, timer[0])
            timer[1]()
        self.now = end


def heartbeat() -> tuple[Clock, Heartbeat, list[int], list[str]]:
    clock = Clock()
    pings: list[int] = []
    aborts: list[str] = []
    beat = Heartbeat(clock, pings.append, silent_s=8.0)  # type: ignore[arg-type]
    beat.start(lambda: aborts.append("aborted"))
    return clock, beat, pings, aborts


def test_heartbeat_pings_a_quiet_link_once_an_interval() -> None:
    clock, beat, pings, aborts = heartbeat()
    beat.welcomed(4.0)
    for _ in range(100):
        clock.advance(1.0)
        if pings:
            beat.sent_at = beat.received_at = clock.now if len(pings) > len(aborts) else 0
    assert not aborts
    assert pings == list(range(1, len(pings) + 1))


def test_heartbeat_is_quiet_when_frames_come_and_go() -> None:
    clock, beat, pings, aborts = heartbeat()
    beat.welcomed(4.0)
    for _ in range(50):
        clock.advance(1.0)
        beat.received_at = beat.sent_at = clock.now
    assert not pings
    assert not aborts


def test_heartbeat_aborts_when_two_intervals_pass_without_a_sign() -> None:
    clock, beat, pings, aborts = heartbeat()
    beat.welcomed(4.0)
    clock.advance(8.5)
    assert not aborts
    clock.advance(2.0)
    assert aborts == ["aborted"]
    assert pings
    assert not clock.timers


def test_heartbeat_does_not_take_its_own_sleep_for_silence() -> None:
    clock, beat, _, aborts = heartbeat()
    beat.welcomed(4.0)
    # The whole process slept: the first check afterwards must let the loop read.
    clock.now += 60
    clock.advance(0.0)
    assert not aborts
    beat.received_at = clock.now
    clock.advance(4.0)
    assert not aborts


def test_heartbeat_bounds_the_silence_before_welcome_and_does_not_ping() -> None:
    clock, _, pings, aborts = heartbeat()
    clock.advance(30.0)
    assert aborts == ["aborted"]
    assert not pings


def test_heartbeat_leaves_no_timer_when_it_is_stopped() -> None:
    clock, beat, _, _ = heartbeat()
    beat.stop()
    assert not clock.timers
