"""When a process stays awake for the next frame, and until when."""

from __future__ import annotations

import asyncio

import pytest

from foundation.busy_poll import BusyPoll, BusyPollSettings

LIMIT_S = 0.5


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def poll(clock: Clock) -> BusyPoll:
    return BusyPoll(LIMIT_S, clock)


async def turn_often() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_busy_poll_stays_awake_when_frames_are_close(poll: BusyPoll, clock: Clock) -> None:
    poll.heard(1)
    clock.now += LIMIT_S * 0.9
    poll.heard(1)
    await turn_often()
    assert poll.turning


async def test_busy_poll_sleeps_when_the_next_frame_does_not_come(
    poll: BusyPoll, clock: Clock
) -> None:
    poll.heard(1)
    poll.heard(1)
    await turn_often()
    assert poll.turning
    clock.now += LIMIT_S
    await turn_often()
    assert not poll.turning


async def test_busy_poll_waits_anew_when_a_frame_came_meanwhile(
    poll: BusyPoll, clock: Clock
) -> None:
    poll.heard(1)
    poll.heard(1)
    clock.now += LIMIT_S * 0.9
    poll.heard(1)
    clock.now += LIMIT_S * 0.9
    await turn_often()
    assert poll.turning


async def test_busy_poll_sleeps_when_frames_are_far_apart(poll: BusyPoll, clock: Clock) -> None:
    for _ in range(5):
        poll.heard(1)
        clock.now += LIMIT_S
    assert not poll.turning


async def test_busy_poll_sleeps_when_it_is_the_first_frame(poll: BusyPoll) -> None:
    poll.heard(1)
    assert not poll.turning


async def test_busy_poll_sleeps_when_frames_come_in_bundles(poll: BusyPoll) -> None:
    for _ in range(5):
        poll.heard(2)
    assert not poll.turning


async def test_busy_poll_never_stays_awake_when_its_limit_is_0(clock: Clock) -> None:
    poll = BusyPoll(0.0, clock)
    for _ in range(5):
        poll.heard(1)
    assert not poll.turning


async def test_busy_poll_turns_once_a_turn_when_many_frames_came(
    poll: BusyPoll, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    yields = 0

    def counted() -> None:
        nonlocal yields
        yields += 1

    monkeypatch.setattr("os.sched_yield", counted)
    for _ in range(100):
        poll.heard(1)
    for _ in range(10):
        await asyncio.sleep(0)
    # The core is offered to others at each of them.
    assert yields == 10


def test_busy_poll_is_on_when_nothing_is_set() -> None:
    assert BusyPollSettings().busy_poll_us == 500
