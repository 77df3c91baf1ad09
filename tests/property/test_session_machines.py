"""Whatever dies, is lost or comes twice: every input is answered once, in order, with the value
of an undisturbed run."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.session_world import World

Act = Callable[[World, int], None]


def submit(world: World, number: int) -> None:
    """Some inputs of some sizes, which leave as one frame."""
    for offset in range(1 + number % 4):
        world.client.submit(number // 4 + offset, number * 997 % 60_000)
    world.client.flush()


def submit_later(world: World, number: int) -> None:
    """An input that has no frame yet."""
    world.client.submit(number, number * 997 % 60_000)


def acknowledge(world: World, _: int) -> None:
    world.client.flush()


def read_at_client(world: World, number: int) -> None:
    client = world.client
    for _ in range(1 + number % 3):
        if client.gateway is not None and client.gateway.to_client:
            client.read()


def read_at_gateway(world: World, number: int) -> None:
    for gateway in world.gateways:
        for _ in range(1 + number % 3):
            if gateway.from_client and gateway.open:
                gateway.read()


def deliver(world: World, number: int) -> None:
    """Messages arrive, in order on each link."""
    for _ in range(1 + number % 5):
        if busy := world.broker.busy():
            world.broker.deliver(busy[number % len(busy)])


def deliver_out_of_order(world: World, number: int) -> None:
    if busy := world.broker.busy():
        world.broker.deliver(busy[number % len(busy)], index=number // 7)


def lose(world: World, number: int) -> None:
    if busy := world.broker.busy():
        world.broker.lose(busy[number % len(busy)], number // 7)


def repeat(world: World, number: int) -> None:
    if busy := world.broker.busy():
        world.broker.repeat(busy[number % len(busy)], number // 7)


def heartbeat(world: World, number: int) -> None:
    if links := world.broker.links():
        world.broker.heartbeat(links[number % len(links)])


def compute(world: World, number: int) -> None:
    for worker in world.workers:
        for _ in range(1 + number % 3):
            worker.compute()


def compute_and_send(world: World, number: int) -> None:
    for worker in world.workers:
        worker.compute()
        worker.flush()


def drop_an_input(world: World, _: int) -> None:
    """An input's deadline has passed."""
    for worker in world.workers:
        worker.compute(drop=True)


def send(world: World, _: int) -> None:
    for worker in world.workers:
        worker.flush()


def checkpoint(world: World, number: int) -> None:
    world.workers[number % len(world.workers)].checkpoint()


def checkpoint_all(world: World, _: int) -> None:
    for worker in tuple(world.workers):
        worker.checkpoint()


def hand_over(world: World, number: int) -> None:
    for worker in world.workers:
        worker.hand_over()


def kill_worker(world: World, number: int) -> None:
    world.kill_worker(number)


def suspect_worker(world: World, _: int) -> None:
    """The gateway takes a slow worker for dead; it lives on, and is fenced."""
    for gateway in world.gateways:
        gateway.try_again()


def break_link(world: World, _: int) -> None:
    world.break_link()


def leave_half_open(world: World, _: int) -> None:
    world.leave_half_open()


def kill_gateway(world: World, _: int) -> None:
    world.kill_gateway()


def connect(world: World, _: int) -> None:
    if world.client.gateway is None:
        world.client.connect()


def delete_checkpoint(world: World, _: int) -> None:
    world.delete_checkpoint()


def age_checkpoint(world: World, number: int) -> None:
    world.age_checkpoint(number)


def settle_a_little(world: World, _: int) -> None:
    world.settle_a_little()


WORK: list[Act] = [
    settle_a_little,
    submit,
    submit,
    submit_later,
    acknowledge,
    read_at_client,
    read_at_client,
    read_at_gateway,
    read_at_gateway,
    deliver,
    deliver,
    deliver,
    compute,
    compute_and_send,
    compute_and_send,
    send,
    checkpoint_all,
    connect,
    connect,
    heartbeat,
]
FAULTS: list[Act] = [
    deliver_out_of_order,
    lose,
    repeat,
    drop_an_input,
    checkpoint,
    hand_over,
    kill_worker,
    suspect_worker,
    break_link,
    leave_half_open,
    kill_gateway,
]


def stories(*more: Act) -> st.SearchStrategy[list[tuple[Act, int]]]:
    """What happens, in which order; numbers choose among what there is."""
    acts = st.sampled_from([*WORK, *WORK, *FAULTS, *more])
    return st.lists(st.tuples(acts, st.integers(0, 255)), min_size=1, max_size=120)


def play(world: World, story: list[tuple[Act, int]]) -> None:
    world.client.connect()
    for act, number in story:
        act(world, number)
    # The last input shows that the state is right in the end.
    world.heal()
    world.client.submit(1000, 1)
    world.heal()
    answers = world.client.answered
    assert list(answers) == sorted(answers)
    assert len(answers) == len(world.client.inputs)


SETTINGS = settings(
    max_examples=500,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@SETTINGS
@given(stories())
def test_session_answers_all_once_and_in_order_when_it_is_stateful(
    story: list[tuple[Act, int]],
) -> None:
    world = World(stateful=True)
    play(world, story)
    assert not world.client.losses
    assert "lost" not in world.client.answered.values()


@SETTINGS
@given(stories())
def test_session_answers_all_once_and_in_order_when_it_is_stateless(
    story: list[tuple[Act, int]],
) -> None:
    world = World(stateful=False)
    play(world, story)
    assert not world.client.losses


@SETTINGS
@given(stories())
def test_session_shows_one_history_when_recomputation_differs_and_outputs_are_held(
    story: list[tuple[Act, int]],
) -> None:
    world = World(stateful=True, hold=True)
    play(world, story)
    assert not world.client.losses


@SETTINGS
@given(stories(delete_checkpoint, delete_checkpoint))
def test_session_tells_the_exact_range_when_its_checkpoint_is_lost(
    story: list[tuple[Act, int]],
) -> None:
    world = World(stateful=True)
    play(world, story)
    lost = {seq for seq, answer in world.client.answered.items() if answer == "lost"}
    told = {seq for start, end in world.client.losses for seq in range(start, end + 1)}
    assert lost <= told


def long_story(seed: int, *more: Act) -> list[tuple[Act, int]]:
    """A story that hypothesis would not write: hundreds of acts, with some of the faults only."""
    chance = random.Random(seed)
    faults = chance.sample(FAULTS, chance.randint(1, len(FAULTS)))
    acts = [*WORK * chance.choice([1, 2, 4]), *faults, *more]
    return [(chance.choice(acts), chance.randrange(256)) for _ in range(300)]


# With the stories above, 11,000 of them.
@pytest.mark.parametrize("start", range(0, 1800, 300))
@pytest.mark.parametrize(
    ("stateful", "hold", "more"),
    [
        pytest.param(True, False, (), id="stateful"),
        pytest.param(False, False, (), id="stateless"),
        pytest.param(True, True, (), id="commit-first"),
        pytest.param(True, False, (delete_checkpoint,), id="losing-checkpoints"),
        pytest.param(True, False, (age_checkpoint,), id="old-checkpoints"),
    ],
)
def test_session_keeps_its_promises_in_long_stories(
    start: int, stateful: bool, hold: bool, more: tuple[Act, ...]
) -> None:
    for seed in range(start, start + 300):
        world = World(stateful=stateful, hold=hold)
        try:
            play(world, long_story(seed, *more))
        except Exception as error:
            raise AssertionError(f"story {seed}: {world.describe()}") from error
        assert bool(more) or not world.client.losses


FOUND: dict[str, list[tuple[Act, int]]] = {
    "a worker forgets what was on its way to a client that is cut off": [
        (settle_a_little, 0),
        (kill_worker, 0),
        (submit, 0),
        (settle_a_little, 0),
        (deliver, 0),
        (kill_worker, 0),
        (kill_gateway, 0),
        (deliver, 1),
    ],
    "a wish for outputs is lost, and never repeated": [
        (settle_a_little, 0),
        (submit, 0),
        (lose, 0),
        (settle_a_little, 0),
        (lose, 0),
    ],
    "a frame kept for its last input counts in whole against the credit": [
        (settle_a_little, 0),
        (submit, 167),
        (leave_half_open, 0),
        (settle_a_little, 0),
        (deliver, 1),
        (settle_a_little, 0),
        (submit, 35),
    ],
    "an acknowledgement comes with inputs that the worker has": [
        (read_at_gateway, 75),
        (deliver, 251),
        (read_at_client, 149),
        (submit, 170),
        (read_at_gateway, 191),
        (kill_gateway, 142),
        (connect, 233),
        (deliver, 8),
        (compute, 64),
        (read_at_gateway, 253),
        (deliver, 146),
        (compute_and_send, 34),
    ],
    "an input that was answered as dropped comes once more while the worker changes": [
        (read_at_gateway, 38),
        (suspect_worker, 112),
        (deliver, 254),
        (read_at_client, 124),
        (submit, 49),
        (leave_half_open, 159),
        (kill_worker, 158),
        (deliver, 96),
        (connect, 158),
        (read_at_gateway, 56),
        (deliver, 228),
        (drop_an_input, 157),
        (compute_and_send, 155),
        (deliver, 137),
        (kill_worker, 24),
    ],
    "the durable input falls behind what the client still has": [
        (read_at_gateway, 0),
        (deliver, 2),
        (read_at_client, 0),
        (submit, 1),
        (leave_half_open, 0),
        (settle_a_little, 0),
        (deliver, 1),
        (settle_a_little, 0),
        (suspect_worker, 0),
        (delete_checkpoint, 0),
        (deliver, 2),
        (leave_half_open, 0),
        (drop_an_input, 0),
        (checkpoint_all, 0),
    ],
    "what was dropped is forgotten before the client has sent it again": [
        (settle_a_little, 0),
        (submit, 0),
        (read_at_gateway, 0),
        (deliver, 0),
        (drop_an_input, 0),
        (kill_gateway, 0),
        (settle_a_little, 0),
        (deliver, 1),
        (suspect_worker, 0),
        (delete_checkpoint, 0),
    ],
    "the news of a loss is lost with a gateway": [
        (settle_a_little, 0),
        (suspect_worker, 0),
        (submit, 0),
        (suspect_worker, 0),
        (settle_a_little, 0),
        (deliver, 2),
        (kill_worker, 0),
        (suspect_worker, 0),
        (delete_checkpoint, 0),
        (deliver, 1),
    ],
    "the credit falls back with the durable input": [
        (settle_a_little, 0),
        (kill_worker, 0),
        (submit, 2),
        (kill_worker, 1),
        (deliver, 0),
        (kill_gateway, 0),
        (settle_a_little, 0),
        (deliver, 1),
        (submit, 1),
        (submit_later, 0),
        (read_at_client, 0),
        (submit_later, 0),
        (submit, 0),
        (settle_a_little, 0),
        (kill_worker, 0),
        (delete_checkpoint, 0),
        (submit, 0),
        (deliver, 1),
        (kill_gateway, 0),
    ],
}
"""Stories that broke a promise once, as short as they could be made."""


@pytest.mark.parametrize("name", FOUND)
@pytest.mark.parametrize("stateful", [True, False])
def test_session_keeps_its_promises_when(name: str, stateful: bool) -> None:
    play(World(stateful=stateful), FOUND[name])
