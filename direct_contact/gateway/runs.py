"""Inputs that came one in a frame, to be taken as the bundle that they are together.

Concatenated protobuf messages are one message: frames that hold nothing but inputs can be joined
without parsing them. Checked, kept, sent on and parsed once, 16 of them cost a fifth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from broker.input_frames import INPUTS

RUN_BYTES: Final = 64 * 1024
"""Where a run ends. Joining copies, which larger frames would pay for and gain nothing from."""


def runs(frames: Sequence[bytes], limit_bytes: int) -> list[list[bytes]]:
    """The frames in their order, in groups: one of any kind, or several that can be joined.

    A group of several has up to `limit_bytes`, and each of its frames is one `inputs` entry.
    """
    found: list[list[bytes]] = []
    run: list[bytes] = []
    run_bytes = 0
    for frame in frames:
        if not _is_one_input(frame):
            found.append([frame])
            run_bytes = 0
            continue
        if not run_bytes or run_bytes + len(frame) > limit_bytes:
            run = []
            run_bytes = 0
            found.append(run)
        run.append(frame)
        run_bytes += len(frame)
    return found


def _is_one_input(frame: bytes) -> bool:
    """The frame is a tag, a length of one or two bytes, and as much as that says."""
    if len(frame) < 3 or frame[0] != INPUTS:
        return False
    size = frame[1]
    if size < 0x80:
        return size + 2 == len(frame)
    return frame[2] < 0x80 and (size & 0x7F | frame[2] << 7) + 3 == len(frame)
