from __future__ import annotations

import pytest

from ann_workers.backends.remote import RemoteState
from foundation.errors import InvalidInput


def test_claim_is_the_same_after_a_checkpoint() -> None:
    state = RemoteState("123", first=4, sending=9)
    assert RemoteState.decode(state.encode()) == state


@pytest.mark.parametrize(
    "data", [b"", b"x", b"[]", b"{}", b'{"format": 2, "key": "1"}', b'{"format": 1, "kez": "1"}']
)
def test_claim_is_refused_when_it_is_none(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        RemoteState.decode(data)
