from __future__ import annotations

import re

import numpy as np

from launcher.demo.drawing import beside, draw
from launcher.demo.splitting import HELD_OUT, split_digits

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def test_drawing_has_one_width_when_it_is_coloured_or_not() -> None:
    image = np.linspace(0, 1, 64, dtype=np.float32)
    plain, coloured = draw(image, colours=False), draw(image, colours=True)
    assert {len(line) for line in plain} == {16}
    assert {len(COLOUR.sub("", line)) for line in coloured} == {16}
    assert plain[0].startswith("  ")
    assert plain[-1].endswith("@@")


def test_drawings_stand_side_by_side_when_there_are_several() -> None:
    drawing = draw(np.ones(64, np.float32), colours=False)
    lines = beside([drawing, drawing], ["says 8", "says 3, is 8"]).splitlines()
    assert len(lines) == len(drawing) + 1
    assert lines[-1].split() == ["says", "8", "says", "3,", "is", "8"]


def test_digits_are_divided_alike_when_it_is_done_twice() -> None:
    (train, held_out), (again, _) = split_digits(), split_digits()
    assert len(held_out) == HELD_OUT
    assert len(train) + len(held_out) == 1797
    assert np.array_equal(train.images, again.images)
    assert set(held_out.labels.tolist()) == set(range(10))
