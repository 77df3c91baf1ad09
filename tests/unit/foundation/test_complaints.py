from __future__ import annotations

import logging

import pytest

from foundation.complaints import Complaints


def test_complaints_are_one_line_a_second_when_they_are_many(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 100.0
    complaints = Complaints(logging.getLogger("test"), clock=lambda: now)
    for i in range(50):
        complaints.warning("lost %d", i)
    now = 101.0
    complaints.warning("lost %d", 50)
    now = 102.5
    complaints.warning("lost %d", 51)
    assert caplog.messages == [
        "lost 0",
        "lost 50 (and 49 more since the last such line)",
        "lost 51",
    ]
