"""What a backend may give as its signature."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ann_workers.backends.port import Signature, TensorSpec


def signature(max_batch: Any, shape: Any = (4,)) -> Signature:
    one = TensorSpec("x", "FP32", shape)
    return Signature([one], [one], stateful=False, trainable=False, max_batch=max_batch)  # type: ignore[arg-type]


def test_signature_has_plain_types_when_it_was_made_of_others() -> None:
    made = signature(np.int64(8), shape=[np.int64(-1), 4])
    assert type(made.max_batch) is int
    assert made.inputs[0].shape == (-1, 4)
    assert {type(axis) for axis in made.inputs[0].shape} == {int}
    assert type(made.inputs) is tuple


@pytest.mark.parametrize(("max_batch", "shape"), [(4.0, (4,)), (4, (4.0,)), ("4", (4,))])
def test_signature_is_refused_when_a_number_is_no_integer(max_batch: Any, shape: Any) -> None:
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        signature(max_batch, shape)
